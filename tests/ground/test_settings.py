"""Settings: what the environment may say, and what is refused at start."""

from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.schedule import parse_schedule
from app.settings import Settings


def read(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(f"AWIZO_{name}", value)
    return Settings()


def test_an_empty_environment_is_enough(monkeypatch):
    settings = Settings()
    assert settings.url == f"sqlite:///{Path('data/awizo.db').absolute()}"
    assert settings.key_ring_path == Path("data/keyring.json")
    assert (settings.delivery, settings.redirect_to) == ("on", None)


def test_an_empty_variable_is_an_absent_one(monkeypatch):
    settings = read(monkeypatch, ADMIN_KEY="", DATABASE_URL="", OIDC_ISSUER="", DELIVERY="")
    assert (settings.admin_key, settings.database_url, settings.delivery) == (None, None, "on")


def test_networks_and_ports_are_lists_with_commas(monkeypatch):
    settings = read(
        monkeypatch, SMTP_DENY="10.0.0.0/8, fd00::/8,", SMTP_ALLOW="10.1.2.3", SMTP_PORTS="25, 465"
    )
    assert settings.smtp_deny == (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
    assert settings.smtp_allow == (ip_network("10.1.2.3/32"),)
    assert settings.smtp_ports == {25, 465}
    assert read(monkeypatch, SMTP_PORTS="any").smtp_ports is None


@pytest.mark.parametrize(
    ("given", "mode", "address"),
    [
        ("on", "on", None),
        ("OFF", "off", None),
        ("redirect:test@firma.example", "redirect:test@firma.example", "test@firma.example"),
        ("Redirect: test@firma.example ", "redirect:test@firma.example", "test@firma.example"),
    ],
)
def test_delivery_is_on_off_or_redirected(monkeypatch, given, mode, address):
    settings = read(monkeypatch, DELIVERY=given)
    assert (settings.delivery, settings.redirect_to) == (mode, address)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ADMIN_KEY", "x" * 23),
        ("PUBLIC_URL", "awizo.firma.example"),
        ("PUBLIC_URL", "https://firma.example/awizo"),
        ("OIDC_CLIENT_ID", "awizo"),
        ("DELIVERY", "maybe"),
        ("DELIVERY", "redirect:"),
        ("DELIVERY", "redirect:nobody"),
        ("SMTP_DENY", "10.0.0.0/33"),
        ("SMTP_PORTS", "smtp"),
        ("PORT", "65536"),
        ("RETRY_SCHEDULE", "soon"),
        ("KEEP_IDEMPOTENCY_H", "23"),
        ("KEEP_INBOX_DAYS", "1"),
        ("MAX_RECIPIENTS", "0"),
        ("OIDC_ISSUER", "https://login.firma.example"),  # without an audience
    ],
)
def test_what_makes_no_sense_stops_the_start(monkeypatch, name, value):
    with pytest.raises(ValidationError) as refused:
        read(monkeypatch, **{name: value})
    assert name != "ADMIN_KEY" or value not in str(refused.value)


def test_the_admin_key_does_not_show(monkeypatch):
    settings = read(monkeypatch, ADMIN_KEY="k" * 24)
    assert settings.admin_key is not None
    assert settings.admin_key.get_secret_value() == "k" * 24
    assert "k" * 24 not in repr(settings) + str(settings) + settings.model_dump_json()


def test_settings_do_not_change(monkeypatch):
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.port = 1


@pytest.mark.parametrize(
    ("text", "waits_s"),
    [
        ("30s", (30,)),
        ("1m, 5m*2, 30m, 1h*3, 4h", (60, 300, 300, 1800, 3600, 3600, 3600, 14400)),
        ("1.5H , 1 d * 2", (5400, 86400, 86400)),
    ],
)
def test_a_retry_schedule_is_a_list_of_waits(text, waits_s):
    assert parse_schedule(text) == waits_s


@pytest.mark.parametrize(
    "text", ["", ",", "1", "1m,,2m", "0s", "-1m", "1w", "1m*", "1m*1000", "5m * -2"]
)
def test_what_is_no_schedule_is_refused(text):
    with pytest.raises(ValueError, match=r"wait|schedule"):
        parse_schedule(text)
