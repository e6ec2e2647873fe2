"""Providers as data, and the servers of an address guessed from them, the domain and DNS."""

import dns.resolver
import pytest

from app.configuration.provider_data import PROVIDERS
from app.wire.service_records import NameServer, is_host_name, look_up_services
from tests.doors.name_server import Zone, serve_names

pytestmark = pytest.mark.anyio

FIRMA = "anna@firma.example"
SUBMISSIONS = "_submissions._tcp.firma.example"


@pytest.fixture
def database_url(sqlite_url):
    """One engine is enough here: all that is read is one row."""
    return sqlite_url


@pytest.fixture
def zone():
    """What the name server knows; a test fills it."""
    return Zone()


@pytest.fixture
def settings(settings, zone):
    with serve_names(zone) as server:
        yield settings.model_copy(update={"dns_server": server})


@pytest.fixture
def ask(client, as_role):
    async def get(email, role="admin"):
        answer = await client.get("/autoconfig", params={"email": email}, headers=as_role(role))
        assert answer.status_code == 200, answer.text
        return answer.json()

    return get


def place(shown):
    return shown["origin"], shown["protocol"], shown["host"], shown["port"], shown["connection"]


def said(answer):
    return {each["source"]: (each["ok"], each["detail"]) for each in answer["sources"]}


async def test_a_provider_is_shown_with_both_servers_login_limits_and_advice(client, as_role):
    answer = await client.get("/providers/gmail", headers=as_role("anna"))
    shown = answer.json()
    assert shown["smtp"] == {
        "protocol": "smtp", "host": "smtp.gmail.com", "port": 465, "connection": "ssl_tls",
    }  # fmt: skip
    assert shown["incoming"]["host"] == "imap.gmail.com"
    assert shown["login"] == {"form": "address", "word": None}
    assert shown["oauth2"] and shown["keeps_sent"] and shown["limits"]["per_day"] == 500
    assert set(shown["advice"]) == {"pl", "fr", "en"} and "app password" in shown["advice"]["en"]
    sending = (await client.get("/providers/sendgrid", headers=as_role("anna"))).json()
    assert sending["login"] == {"form": "word", "word": "apikey"} and sending["incoming"] is None


async def test_providers_are_found_by_a_part_of_name_server_or_domain(client, as_role):
    async def find(q):
        answer = await client.get("/providers", params={"q": q}, headers=as_role("sender"))
        return {each["id"] for each in answer.json()["data"]}

    everything = await find("")
    assert everything >= {
        "gmail", "m365", "outlook", "yahoo", "icloud", "ovh", "infomaniak", "bluewin", "orange",
        "free", "ionos", "home", "nazwa", "onet", "wp", "interia", "zoho", "sparkpost", "sendgrid",
        "mailgun", "brevo", "ses",
    }  # fmt: skip
    assert await find(" GMAIL.com ") == {"gmail", "google_workspace"}
    assert await find("op.pl") == {"onet"}
    assert await find("Microsoft") == {"m365"}
    assert await find("nobody knows") == set()


def test_every_preset_can_be_used_as_it_is():
    assert len({each.id for each in PROVIDERS}) == len(PROVIDERS)
    domains = [domain for each in PROVIDERS for domain in each.domains]
    assert len(set(domains)) == len(domains)
    for each in PROVIDERS:
        for server in (each.smtp, each.incoming):
            assert server is None or is_host_name(server.host) or "server_name" in each.advice
        assert (each.login == "word") == bool(each.login_word)


async def test_an_address_of_a_known_provider_needs_no_dns(ask, zone):
    answer = await ask("Jan <jan@WP.pl>")
    assert (answer["email"], answer["domain"]) == ("jan@wp.pl", "wp.pl")
    assert (answer["origin"], answer["provider"]["id"]) == ("provider", "wp")
    assert place(answer["smtp"]) == ("provider", "smtp", "smtp.wp.pl", 465, "ssl_tls")
    assert place(answer["incoming"]) == ("provider", "imap", "imap.wp.pl", 993, "ssl_tls")
    assert answer["smtp"]["username"] == "jan@wp.pl"
    assert "switched on" in answer["advice"]["en"]
    assert zone.asked == []
    assert (await ask("jean@free.fr"))["smtp"]["username"] == "jean"
    assert (await ask("jean@outlook.fr"))["smtp"]["auth"] == "xoauth2"


async def test_the_settings_stored_for_the_domain_come_first(ask, zone, client, as_role):
    stored = {
        "smtp": {"host": "post.firma.example", "port": 2525, "connection": "starttls"},
        "incoming": {"host": "box.firma.example", "protocol": "pop3"},
    }
    put = await client.put("/domains/firma.example", json=stored, headers=as_role("admin"))
    assert put.status_code == 201, put.text
    answer = await ask(FIRMA)
    assert place(answer["smtp"]) == ("domain", "smtp", "post.firma.example", 2525, "starttls")
    assert place(answer["incoming"]) == ("domain", "pop3", "box.firma.example", 995, "auto")
    assert zone.asked == []


async def test_srv_records_name_the_servers(ask, zone):
    zone.records = [
        (SUBMISSIONS, "SRV", ["10 0 465 spare.firma.example.", "0 1 465 light.firma.example.",
                              "0 9 465 Mail.Firma.example."]),
        ("_submission._tcp.firma.example", "SRV", ["0 1 587 mail.firma.example."]),
        ("_imaps._tcp.firma.example", "SRV", ["0 0 0 ."]),  # decidedly not
        ("_imap._tcp.firma.example", "SRV", ["0 1 143 mail.firma.example."]),
        ("firma.example", "MX", ["0 mx.elsewhere.example."]),
    ]  # fmt: skip
    answer = await ask(FIRMA)
    assert place(answer["smtp"]) == ("srv", "smtp", "mail.firma.example", 465, "ssl_tls")
    assert place(answer["incoming"]) == ("srv", "imap", "mail.firma.example", 143, "starttls")
    assert answer["smtp"]["username"] == FIRMA
    assert (answer["provider"], answer["advice"], answer["warnings"]) == (None, None, [])
    assert said(answer)["mx"] == (False, "mx.elsewhere.example belongs to no known provider")


@pytest.mark.parametrize(
    ("mx", "provider", "smtp"),
    [("aspmx.l.google.com.", "google_workspace", "smtp.gmail.com"),
     ("firma-example.mail.protection.outlook.com.", "m365", "smtp.office365.com"),
     ("outlook-com.olc.protection.outlook.com.", "outlook", "smtp-mail.outlook.com"),
     ("mx1.mail.ovh.net.", "ovh", "ssl0.ovh.net"),
     ("mta-gw.infomaniak.ch.", "infomaniak", "mail.infomaniak.com"),
     ("mx.zoho.eu.", "zoho_eu", "smtp.zoho.eu"),
     ("server.home.pl.", "home", "smtp.firma.example"),
     ("mx.notgoogle.com.", None, "smtp.firma.example")],
)  # fmt: skip
async def test_the_mx_tells_the_provider_of_a_domain_of_ones_own(ask, zone, mx, provider, smtp):
    zone.records = [("firma.example", "MX", ["20 zz.firma.example.", f"10 {mx}"])]
    answer = await ask(FIRMA)
    found = answer["provider"]
    assert ((found and found["id"]), answer["smtp"]["host"]) == (provider, smtp)
    assert answer["origin"] == ("mx" if smtp != "smtp.firma.example" else "guess")
    if provider == "home":
        assert "customer panel" in answer["advice"]["en"]


async def test_without_any_record_the_usual_names_are_guessed(ask, zone):
    answer = await ask("anna@żółw.example")
    assert answer["domain"] == "xn--w-uga1v8h.example"
    assert place(answer["smtp"]) == ("guess", "smtp", "smtp.xn--w-uga1v8h.example", 587, "auto")
    assert place(answer["incoming"])[2:] == ("imap.xn--w-uga1v8h.example", 993, "ssl_tls")
    assert said(answer)["srv"] == said(answer)["mx"] == (False, "the domain publishes none")
    assert f"_imaps._tcp.{answer['domain']}" in zone.asked


@pytest.mark.parametrize(
    "target",
    ["127.0.0.1.", "169.254.169.254.", "1.0x7f.", "localhost.", "a_b.firma.example.",
     "\\<b\\>.firma.example.", "a\\.b.firma\\000.example.", "."],
)  # fmt: skip
async def test_a_target_that_is_no_host_name_is_not_taken(ask, zone, target):
    zone.records = [
        (SUBMISSIONS, "SRV", [f"0 1 465 {target}"]), ("firma.example", "MX", [f"0 {target}"]),
    ]  # fmt: skip
    answer = await ask(FIRMA)
    assert answer["origin"] == "guess"
    assert said(answer)["srv"] == said(answer)["mx"] == (False, "none is usable")


async def test_ports_that_the_caller_may_not_use_are_not_proposed(ask, zone):
    zone.records = [(SUBMISSIONS, "SRV", ["0 1 22 mail.firma.example."])]
    assert (await ask(FIRMA, "admin"))["smtp"]["port"] == 22
    answer = await ask(FIRMA, "anna")
    assert answer["origin"] == "guess"
    assert said(answer)["srv"] == (False, "it names only ports that are not allowed here")


async def test_a_server_in_somebody_elses_domain_is_warned_of(ask, zone):
    zone.records = [(SUBMISSIONS, "SRV", ["0 1 465 mail.evilfirma.example."])]
    answer = await ask(FIRMA)
    assert [each["code"] for each in answer["warnings"]] == ["other_domain"]
    zone.records = [(SUBMISSIONS, "SRV", ["0 1 465 smtp.gmail.com."])]
    answer = await ask(FIRMA)
    assert answer["warnings"] == [] and answer["provider"]["id"] == "gmail"


async def test_a_flood_of_records_is_bounded(ask, zone):
    flood = [f"{number} 1 465 s{number}.firma.example." for number in range(40)]
    zone.records = [(SUBMISSIONS, "SRV", flood)]
    assert (await ask(FIRMA))["smtp"]["host"].endswith(".firma.example")


async def test_a_question_that_gets_no_answer_does_not_take_the_others_along():
    zone = Zone([("firma.example", "MX", ["0 mx.firma.example."])], silent=[SUBMISSIONS])
    with serve_names(zone) as server:
        records = await look_up_services("firma.example", NameServer(*server), timeout_s=1)
    assert (records.mx, records.mx_trouble) == (("mx.firma.example",), None)
    assert (records.srv, records.srv_trouble) == ((), "the name server did not answer in time")


async def test_without_a_name_server_the_answer_says_so(tmp_path, monkeypatch):
    (tmp_path / "none").write_text("# no nameserver here\n")
    read = dns.resolver.BaseResolver.read_resolv_conf
    monkeypatch.setattr(
        dns.resolver.BaseResolver, "read_resolv_conf",
        lambda self, path: read(self, str(tmp_path / "none")),
    )  # fmt: skip
    records = await look_up_services("firma.example")
    assert records.srv_trouble == records.mx_trouble == "this machine has no name server configured"
