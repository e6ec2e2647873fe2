"""The inbox on the admin page: who sees which mail, what is said of it, and what people do with it."""

from datetime import timedelta

import pytest
from selectolax.lexbor import LexborHTMLParser
from sqlalchemy import select

from app.configuration.load import load_account
from app.db import new_id
from app.inbox.mailboxes import claim, enroll, note_failed, note_synced
from app.inbox.tables import incoming
from app.inbox.take_in import take_in
from app.mime.incoming import read_incoming
from app.outbox.answer_watch import answer_watch
from app.outbox.identity import make_envid, make_message_id
from app.outbox.order import Reference
from tests.rooms.inbox.letters import tell, write_dsn, write_mail
from tests.rooms.outbox.desk import configure, send
from tests.web.test_accounts import list_texts, read_page

pytestmark = pytest.mark.anyio
PATH = "/ui/inbox"
BOX = {"incoming": {"host": "imap.firma.example", "username": "x", "password": "y"}}
ANNA = "anna@klient.example"
INVOICE = Reference("invoice", "FV 12/2026", "K-42")


async def take(office, account, *mails) -> list[str]:
    """Let mail come in to an account, as a worker stores it; return the ids."""

    def run(tx):
        stored = load_account(tx, account)
        at = [office.clock() + timedelta(milliseconds=number) for number in range(len(mails))]
        return [
            take_in(tx, office.vault, stored, new_id(), raw, read_incoming(raw), moment)
            for raw, moment in zip(mails, at, strict=True)
        ]

    return await office.db.write(run)


async def look(office, mail_id):
    query = select(incoming).where(incoming.c.id == mail_id)
    return await office.db.read(lambda tx: tx.execute(query).one())


def list_subjects(page) -> list[str]:
    return list_texts(page, "table.inbox tbody th a")


async def undo(browser, answer):
    """Follow a redirect, and post the undo that the page there offers."""
    page = read_page(await browser.get(answer.headers["location"]))
    form = page.css_first("form.undo")
    fields = {each.attributes["name"]: each.attributes["value"] or "" for each in form.css("input")}
    return await browser.post(form.attributes["action"], data=fields)


async def test_without_a_mailbox_the_page_says_what_to_do(signed_in, office):
    for role, link in (
        ("admin", "/ui/config/global#f-own.incoming"),
        ("anna", "/ui/config/users/anna#f-own.incoming"),
    ):
        page = read_page(await (await signed_in(role)).get(PATH))
        assert page.css(f'a[href="{link}"]'), role
    assert "An administrator can" in (await (await signed_in("sender")).get(PATH)).text
    off = {"incoming": BOX["incoming"] | {"mode": "off"}}
    account = await configure(office, config=off)
    page = await (await signed_in("admin")).get(PATH)
    assert f"/ui/accounts/{account}#f-off.incoming" in page.text
    await configure(office, config=BOX)
    assert "Nothing has come in yet." in (await (await signed_in("admin")).get(PATH)).text


async def test_a_mailbox_says_how_it_stands_in_plain_words(signed_in, office):
    account = await configure(office, config=BOX)
    admin = await signed_in("admin")
    assert "not looked at yet" in (await admin.get(PATH)).text
    await office.db.write(enroll)
    held = await office.db.write(claim, account, "test.1")
    await office.db.write(note_synced, held, None)
    assert "is read" in (await admin.get(PATH)).text
    await office.db.write(note_failed, held, "credentials_refused", "[AUTH] no\u202e<b>")
    shown = (await admin.get(PATH)).text
    assert "The mailbox refuses the login." in shown and "Next try:" in shown
    assert "[AUTH] no&lt;b&gt;" in shown
    assert "Skrzynka nie przyjmuje logowania" in (await admin.get(f"{PATH}?lang=pl")).text
    page = read_page(await admin.get("/ui/?lang=en"))
    (note,) = [each for each in list_texts(page, ".note.error") if "mailbox" in each]
    assert note.startswith("faktury@firma.example:") and "refuses the login" in note
    assert "refuses the login" not in (await (await signed_in("piotr")).get("/ui/")).text


async def test_mail_is_found_by_kind_words_and_what_it_is_about(signed_in, office):
    account = await configure(office, config=BOX)
    sent = await send(office, ANNA, reference=INVOICE)
    ours = make_message_id(office.vault, sent, "firma.example")
    await take(
        office, account,
        write_mail("Subject: odpowiedź", f"In-Reply-To: {ours}", text="Zapłacę jutro"),
        write_mail("Subject: FV 12/2026"), write_mail("Subject: urlop", "Precedence: auto_reply"),
        write_dsn(tell("failed", ANNA, "5.1.1")),
    )  # fmt: skip
    report = "Delivery Status Notification"
    browser = await signed_in("sender")
    for query, found in {
        "": [report, "urlop", "FV 12/2026", "odpowiedź"],
        "?q=JUTRO": ["odpowiedź"],
        "?q=k-42": ["FV 12/2026", "odpowiedź"],
        "?kind=report&about=unmatched&state=open": [report],
        "?about=guess": ["FV 12/2026"],
        "?about=verified": ["odpowiedź"],
        "?kind=auto_reply": ["urlop"],
        f"?message={sent}": ["FV 12/2026", "odpowiedź"],
        f"?account={account}&kind=human": ["FV 12/2026", "odpowiedź"],
        "?state=done": [],
        "?kind=nonsense&state=odd&about=what": [report, "urlop", "FV 12/2026", "odpowiedź"],
    }.items():
        answer = await browser.get(f"{PATH}{query}")
        assert list_subjects(read_page(answer)) == found, query
    page = read_page(await browser.get(PATH))
    assert "Answers to handle 2" in list_texts(page, "nav.tabs a")
    assert "Reports about no message 1" in list_texts(page, "nav.tabs a")
    assert (await browser.get(f"{PATH}?after=%27%20or%201")).status_code == 422


async def test_a_list_goes_on_page_by_page(signed_in, office, monkeypatch):
    monkeypatch.setattr("app.web.screens.inbox._PAGE", 2)
    account = await configure(office, config=BOX)
    await take(office, account, *(write_mail(f"Subject: {number}") for number in range(5)))
    browser, seen, where = await signed_in("admin"), [], f"{PATH}?kind=human"
    while where:
        page = read_page(await browser.get(where))
        seen += list_subjects(page)
        older = page.css_first("a[rel=next]")
        where = older.attributes["href"] if older else ""
    assert seen == ["4", "3", "2", "1", "0"]


async def test_several_are_handled_at_once_and_that_is_undone(signed_in, office):
    account = await configure(office, config=BOX)
    first, second, third = await take(office, account, *(write_mail() for _ in range(3)))
    browser = await signed_in("admin")
    await browser.submit(PATH, f"{PATH}/do", id=third, do="handled", query="kind=human")
    answer = await browser.submit(PATH, f"{PATH}/do", id=[first, third], do="handled", query="")
    assert "1 mail is handled." in (await browser.get(answer.headers["location"])).text
    answer = await browser.submit(PATH, f"{PATH}/do", id=[second], do="handled", query="")
    await undo(browser, answer)
    state = [(await look(office, each)).handled_by for each in (first, second, third)]
    assert state == ["admin", None, "admin"]
    answer = await browser.submit(PATH, f"{PATH}/do", do="handled", query="")
    assert "Tick the mail first." in (await browser.get(answer.headers["location"])).text


async def test_nobody_sees_counts_or_touches_mail_of_accounts_they_may_not_read(
    signed_in, office, client, as_role
):
    common = await configure(office, config=BOX)
    sent = await send(office, ANNA)
    ours = make_message_id(office.vault, sent, "firma.example")
    mail, report = await take(
        office, common, write_mail("Subject: tajne", f"In-Reply-To: {ours}"),
        write_dsn(tell("failed", ANNA, "5.1.1")),
    )  # fmt: skip
    admin, piotr = await signed_in("admin"), await signed_in("piotr")
    overview = (await admin.get("/ui/")).text
    assert "1 answer waits for somebody." in overview and "1 report is about no" in overview
    overview = (await piotr.get("/ui/")).text
    assert "waits for somebody" not in overview and "about no message" not in overview
    shown = await piotr.get(PATH)
    assert "tajne" not in shown.text and not read_page(shown).css("nav.tabs b")
    for path in (mail, f"{mail}/raw", f"{mail}/text", report):
        answer = await piotr.get(f"{PATH}/{path}")
        assert answer.status_code == 404 and "tajne" not in answer.text, path
    for verb, fields in (
        ("handled", {"done": "x"}),
        ("kind", {"kind": "list"}),
        ("message", {"message": ""}),
        ("forward", {"to": "a@x.example"}),
    ):
        answer = await piotr.submit(PATH + "/../", f"{PATH}/{mail}/{verb}", **fields)
        assert answer.status_code == 404, verb
    await piotr.submit("/ui/", f"{PATH}/do", id=[mail], do="handled")
    row = await look(office, mail)
    assert (row.handled_at, row.kind, row.about_id) == (None, "human", sent)
    await client.put(
        f"/accounts/{common}/rights/piotr", json={"read": True}, headers=as_role("admin")
    )
    shown = await piotr.get(f"{PATH}/{mail}")
    assert shown.status_code == 200 and "A message that is not yours to see." in shown.text
    assert sent not in shown.text
    assert "1 answer waits for somebody." in (await piotr.get("/ui/")).text


async def test_a_page_without_a_key_leads_to_signing_in(browser):
    assert (await browser.get(PATH)).headers["location"].startswith("/ui/sign-in")


async def test_an_answer_says_who_wrote_it_and_how_sure_its_message_is(signed_in, office):
    account = await configure(office, config=BOX)
    sent = await send(office, ANNA, reference=INVOICE)
    ours = make_message_id(office.vault, sent, "firma.example")
    sure, guess, none = await take(
        office, account, write_mail(f"In-Reply-To: {ours}", text="Zapłacę.\n\n> Dzień dobry"),
        write_mail("Subject: FV 12/2026"), write_mail("Subject: inne"),
    )  # fmt: skip
    browser = await signed_in("admin")
    for mail, said in ((sure, "Verified:"), (guess, "A guess:"), (none, "found no message")):
        page = read_page(await browser.get(f"{PATH}/{mail}"))
        assert said in page.css_first("section[aria-labelledby=h-about] .note").text(), mail
    page = read_page(await browser.get(f"{PATH}/{sure}"))
    assert page.css_first("pre.words").text().strip() == "Zapłacę."
    about = page.css_first("section[aria-labelledby=h-about]")
    assert about.css(f'a[href="/ui/messages/{sent}"]') and "FV 12/2026" in about.text()
    assert not about.css("form")


async def test_a_mail_is_handled_with_a_note_and_opened_again(signed_in, office):
    account = await configure(office, config=BOX)
    (mail,) = await take(office, account, write_mail())
    browser, path = await signed_in("admin"), f"{PATH}/{mail}"
    await browser.submit(path, f"{path}/handled", done="zapłacone <b>")
    assert (await look(office, mail)).handled_note == "zapłacone <b>"
    assert "zapłacone &lt;b&gt;" in (await browser.get(path)).text
    await browser.submit(path, f"{path}/handled", do="open")
    assert (await look(office, mail)).handled_at is None
    answer = await browser.submit(path, f"{path}/handled", done="x" * 1001)
    assert answer.status_code == 422 and LexborHTMLParser(answer.text).css("#e-done")


async def test_a_person_corrects_the_kind_and_that_ends_the_waiting_and_is_undone(
    signed_in, office
):
    alert = {"answer_alert": {"after_min": 60, "to": "szef@firma.example"}}
    account = await configure(office, config=BOX | alert)
    sent = await send(office, ANNA)
    ours = make_message_id(office.vault, sent, "firma.example")
    (mail,) = await take(
        office, account, write_mail(f"In-Reply-To: {ours}", "Auto-Submitted: auto-replied")
    )
    browser, path = await signed_in("admin"), f"{PATH}/{mail}"
    assert "An answer is expected until" in (await browser.get(f"/ui/messages/{sent}")).text
    answer = await browser.submit(path, f"{path}/kind", kind="human")
    assert "corrected by admin" in (await browser.get(path)).text
    assert "Answered:" in (await browser.get(f"/ui/messages/{sent}")).text
    answer = await browser.submit(path, f"{path}/kind", kind="list")
    await undo(browser, answer)
    assert (await look(office, mail)).kind == "human"
    assert (await browser.submit(path, f"{path}/kind", kind="dsn")).status_code == 422
    past = office.clock() - timedelta(hours=1)
    values = {"answered_at": None, "alerted_at": past}
    await office.db.write(lambda tx: tx.execute(answer_watch.update().values(values)))
    assert "Nobody answered until" in (await browser.get(f"/ui/messages/{sent}")).text


async def test_a_mail_is_linked_with_a_message_that_was_looked_for_and_loosed(signed_in, office):
    account = await configure(office, config=BOX)
    sent = await send(office, ANNA, reference=INVOICE)
    other = await send(office, "ewa@klient.example", reference=Reference("invoice", "FV 13/2026"))
    (mail,) = await take(office, account, write_mail("Subject: pytanie"))
    browser, path = await signed_in("admin"), f"{PATH}/{mail}"

    async def list_offered(query=""):
        page = read_page(await browser.get(f"{path}{query}"))
        return [each.attributes["value"] for each in page.css("li input[name=message]")]

    assert await list_offered() == [sent]
    assert await list_offered("?find=fv 13") == [other]
    assert await list_offered(f"?find={other}") == [other]
    assert await list_offered("?find=nothing") == []
    await browser.submit(path, f"{path}/message", message=other)
    assert ((await look(office, mail)).about_id, (await look(office, mail)).linked_by) == (
        other, "admin",
    )  # fmt: skip
    assert "linked by hand: admin" in (await browser.get(f"/ui/messages/{other}")).text
    answer = await browser.submit(path, f"{path}/message", message="")
    await undo(browser, answer)
    assert "Linked by hand: admin" in (await browser.get(path)).text
    await browser.submit(path, f"{path}/message", message="")
    assert (await look(office, mail)).about_id is None
    answer = await browser.submit(path, f"{path}/message", message="unknown")
    assert answer.status_code == 422 and "There is no such message" in answer.text


async def test_a_mail_is_forwarded_or_the_page_says_why_not(signed_in, office, client, as_role):
    account = await configure(office, "anna", config=BOX)
    (mail,) = await take(office, account, write_mail(text="Proszę o kontakt"))
    browser, path = await signed_in("admin"), f"{PATH}/{mail}"
    answer = await browser.submit(path, f"{path}/forward", to="nobody", note="n", as_user="anna")
    assert answer.status_code == 422 and LexborHTMLParser(answer.text).css("#e-to")
    assert 'value="nobody"' in answer.text
    page = read_page(await browser.get(path))
    assert page.css_first("#f-as_user").attributes["value"] == "anna"
    answer = await browser.submit(path, f"{path}/forward", to="ola@firma.example", as_user="")
    assert answer.status_code == 403 and "account" in answer.text
    answer = await browser.submit(path, f"{path}/forward", to="ola@firma.example", as_user="anna")
    assert answer.status_code == 303
    assert "Proszę o kontakt" not in answer.headers["location"]
    assert "ola@firma.example" in (await browser.get(answer.headers["location"])).text
    anna = await signed_in("anna")
    answer = await anna.submit(path, f"{path}/forward", to="ola@firma.example", note="Zadzwoń")
    assert answer.status_code == 303, answer.text


async def test_a_report_is_told_in_plain_words_with_the_servers_own_below(signed_in, office):
    account = await configure(office, config=BOX)
    fields = (
        "Final-Recipient: rfc822; anna@klient.example\nAction: failed\nStatus: 5.1.1\n"
        "Remote-MTA: dns; mx.klient.example\nDiagnostic-Code: smtp; 550 no <b>Anna</b> here"
    )
    (mail,) = await take(office, account, write_dsn(fields))
    browser = await signed_in("admin")
    page = read_page(await browser.get(f"{PATH}/{mail}"))
    report = page.css_first("section[aria-labelledby=h-report]")
    for said in (
        "Could not be delivered", "anna@klient.example", "There is no such address.",
        "550 no <b>Anna</b> here", "5.1.1", "mx.klient.example", "anybody can have written it",
    ):  # fmt: skip
        assert said in report.text(), said
    (words,) = list_texts(read_page(await browser.get(PATH)), ".preview-words")
    assert words == "anna@klient.example · Could not be delivered · There is no such address."
    assert not report.css("b") and not page.css("section[aria-labelledby=h-kind]")
    answer = await browser.submit(f"{PATH}/{mail}", f"{PATH}/{mail}/kind", kind="human")
    assert answer.status_code == 409 and "A report is of the kind" in answer.text


async def test_a_messages_line_tells_what_came_back_in_its_order(signed_in, office, monkeypatch):
    account = await configure(office, config=BOX | {"document_address": True})
    sent = await send(office, ANNA, reference=INVOICE)
    ours, envid = (
        make_message_id(office.vault, sent, "firma.example"),
        make_envid(office.vault, sent),
    )
    delayed, shown, forged, answer = await take(
        office, account,
        write_dsn(tell("delayed", ANNA, "4.4.1"), envid=envid),
        write_dsn(tell("delivered", ANNA, "2.0.0"), envid=envid, message_id="r2"),
        write_mail("Subject: FV 12/2026", text="Podrobione"),
        write_mail(f"In-Reply-To: {ours}", text="Zapłacę jutro"),
    )  # fmt: skip
    browser = await signed_in("admin")
    page = read_page(await browser.get(f"/ui/messages/{sent}"))
    line = list_texts(page, "ol.line > li")
    assert [any(said in each for each in line) for said in (
        "Is late", "cannot be reached", "Arrived in the mailbox", "Podrobione", "Zapłacę jutro",
    )] == [True] * 5  # fmt: skip
    assert [each for each in line if "a guess" in each and "Podrobione" in each]
    assert [each for each in line if "verified" in each and "Zapłacę jutro" in each]
    links = [each.attributes["href"] for each in page.css("ol.line a")]
    assert links == [f"{PATH}/{each}" for each in (delayed, shown, forged, answer)]
    facts = page.css_first("section[aria-labelledby=h-facts]").text()
    assert "Answers go to" in facts and "+doc-" in facts


async def test_a_line_shows_no_mail_of_a_mailbox_that_its_reader_may_not_read(signed_in, office):
    common = await configure(office, config=BOX)
    await configure(office, "anna")
    sent = await send(office, ANNA, user="anna")
    ours, envid = (
        make_message_id(office.vault, sent, "firma.example"),
        make_envid(office.vault, sent),
    )
    await take(
        office, common, write_mail(f"In-Reply-To: {ours}", text="Poufne"),
        write_dsn(tell("delivered", ANNA, "2.0.0"), envid=envid),
    )  # fmt: skip
    page = read_page(await (await signed_in("anna")).get(f"/ui/messages/{sent}"))
    line = page.css_first("ol.line").text()
    assert "Arrived in the mailbox" in line and "says a report" in line
    assert "Poufne" not in line and not page.css("ol.line a")


HOSTILE = (
    "From: =?utf-8?q?=3Cscript=3Ealert(1)=3C/script=3E_=E2=80=AEgro=2Eknab?= <x@klient.example>\r\n"
    "To: faktury@firma.example\r\nMessage-ID: <\"><img src=x onerror=alert(1)>@klient.example>\r\n"
    "Subject: =?utf-8?q?=3Cscript=3Ealert(2)=3C/script=3E=0D=0AX-Evil:_1_=E2=80=AEfdp=2Eexe?=\r\n"
    "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    "--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n"
    "<p>Dzień dobry <img src='https://zly.example/x.png'></p><script>alert(3)</script>\r\n"
    "--b\r\nContent-Type: \"><script>alert(4)</script>/x\r\n"
    "Content-Disposition: attachment; filename*=utf-8''..%2F..%2Fetc%2Fpass%0D%0ASet-Cookie%3A%20a=1"
    "%E2%80%AEfdp.exe\r\n\r\nMZ\r\n--b--\r\n"
).encode()  # fmt: skip


async def test_what_a_stranger_writes_runs_nowhere_and_turns_nothing_about(signed_in, office):
    account = await configure(office, config=BOX)
    sent = await send(office, "x@klient.example", reference=INVOICE)
    (mail,) = await take(office, account, HOSTILE)
    browser = await signed_in("admin")
    await browser.submit(f"{PATH}/{mail}", f"{PATH}/{mail}/message", message=sent)
    for path in (PATH, f"{PATH}/{mail}", f"{PATH}/{mail}/text", f"/ui/messages/{sent}", "/ui/"):
        answer = await browser.get(path)
        assert answer.status_code == 200, path
        page = LexborHTMLParser(answer.text)
        foreign = "script:not([src]), [onerror], [onclick], [src^=http], [href^=http]"
        assert not page.css(foreign), path
        assert not set("\u202e\u202d\u2066\u2067") & set(answer.text), path
        assert "x-evil" not in answer.headers and "a=1" not in str(answer.headers), path
        assert "default-src 'none'" in answer.headers["content-security-policy"], path
    shown = (await browser.get(f"{PATH}/{mail}")).text
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in shown and "etc-pass" in shown


async def test_a_mail_is_given_as_a_file_that_no_browser_opens(signed_in, office):
    account = await configure(office, config=BOX)
    (mail,) = await take(office, account, HOSTILE)
    answer = await (await signed_in("admin")).get(f"{PATH}/{mail}/raw")
    assert answer.content == HOSTILE
    assert answer.headers["content-type"] == "message/rfc822"
    assert answer.headers["content-disposition"] == f"attachment; filename*=UTF-8''{mail}.eml"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
    assert "set-cookie" not in answer.headers


async def test_a_text_of_any_length_keeps_the_page_light(signed_in, office):
    account = await configure(office, config=BOX)
    raw = write_mail("Subject: " + "ż" * 5000, text="słowo <i> " * 10_000)
    (mail,) = await take(office, account, raw)
    browser = await signed_in("admin")
    shown = await browser.get(f"{PATH}/{mail}")
    assert len(shown.content) < 100_000
    assert f"{PATH}/{mail}/text" in shown.text
    assert len((await browser.get(PATH)).content) < 100_000
    whole = await browser.get(f"{PATH}/{mail}/text")
    assert whole.text.count("słowo &lt;i&gt;") > 9_990
    assert whole.headers["content-security-policy"].startswith("sandbox; default-src 'none'")


async def test_a_date_at_the_end_of_the_calendar_is_shown_wherever_the_viewer_is(signed_in, office):
    account = await configure(office, config=BOX)
    sent = await send(office, ANNA)
    fields = tell("delayed", ANNA, "4.4.1") + "\nWill-Retry-Until: Fri, 31 Dec 9999 23:59:59 +0000"
    report, mail = await take(
        office, account, write_dsn(fields, envid=make_envid(office.vault, sent)),
        write_mail("Date: Fri, 31 Dec 9999 23:59:59 +0000"),
    )  # fmt: skip
    browser = await signed_in("admin")
    for zone in ("Pacific/Auckland", "America/Anchorage"):
        browser.cookies.set("awizo_zone", zone, path="/ui")
        for path in (PATH, f"{PATH}/{mail}", f"{PATH}/{report}", f"/ui/messages/{sent}"):
            answer = await browser.get(path)
            assert answer.status_code == 200 and zone in answer.text, (zone, path)
    assert "It is tried until" in (await browser.get(f"/ui/messages/{sent}")).text


async def test_an_erased_mail_says_so_and_offers_nothing_of_it(signed_in, office, client, as_role):
    account = await configure(office, config=BOX)
    sent = await send(office, ANNA)
    ours = make_message_id(office.vault, sent, "firma.example")
    (mail,) = await take(office, account, write_mail(f"In-Reply-To: {ours}", text="Prywatne"))
    erased = await client.delete(f"/recipients/{ANNA}", headers=as_role("admin"))
    assert erased.status_code == 200, erased.text
    browser = await signed_in("admin")
    shown = await browser.get(f"{PATH}/{mail}")
    assert "The content of this mail was erased." in shown.text
    for path in (f"{PATH}/{mail}", PATH, f"/ui/messages/{sent}"):
        text = (await browser.get(path)).text
        assert "Prywatne" not in text and ANNA not in text, path
    assert (await browser.get(f"{PATH}/{mail}/raw")).status_code == 404


@pytest.mark.parametrize("path", ["?account=%00", "?message=a%00", "?q=%00", "/%00"])
async def test_a_nul_in_the_address_is_refused_before_any_database_sees_it(signed_in, path):
    answer = await (await signed_in("anna")).get(f"{PATH}{path}")
    assert answer.status_code in (400, 422)
    assert "text/html" in answer.headers["content-type"]
