"""Pages out of templates: what every template may use, and how values are shown.

A page has ``visit``, ``_``, ``ngettext``, ``menu``, ``asset(name)`` and the filters ``when`` (a moment in the
viewer's zone), ``span`` (a length of time in seconds), ``size`` (bytes), ``count``, ``tame`` (what a stranger
wrote); a name that is not there is an error, everything is escaped.
"""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from app.web.assets import name_asset
from app.web.menu import list_menu
from app.web.words import LANGUAGES, load_words

if TYPE_CHECKING:
    from app.web.visit import Guest

# Numbers alone, so that no word has to be translated; each as its readers write it.
_DAY = {"pl": "%d.%m.%Y", "fr": "%d/%m/%Y", "en": "%Y-%m-%d"}
_THOUSANDS = {"pl": "\u00a0", "fr": "\u202f", "en": ","}
# They turn the order of letters about, so that a name or a file's ending looks like another one.
_TURNING = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb]")
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def render_page(visit: "Guest", template: str, values: Mapping[str, Any]) -> str:
    """Return the HTML of ``template`` in the visitor's language."""
    known = {
        "visit": visit,
        "menu": list_menu(visit.caller),
        "delivery": visit.office.settings.delivery,
        "redirect_to": visit.office.settings.redirect_to,
        "languages": LANGUAGES,
        "in_language": _make_language_link(visit),
    }
    return _open_templates(visit.language).get_template(template).render(known | dict(values))


@cache
def _open_templates(language: str) -> Environment:
    environment = Environment(
        loader=PackageLoader("app.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.install_gettext_translations(load_words(language), newstyle=True)  # type: ignore[attr-defined]
    environment.globals["asset"] = name_asset
    environment.filters |= {"when": _show_when, "span": _show_span, "size": _show_size}
    environment.filters |= {"count": _show_count, "day": _show_day, "tame": tame}
    return environment


def tame(text: str) -> str:
    """Return what a stranger wrote without the characters that turn the order of others about."""
    return _TURNING.sub("", text)


@pass_context
def _show_when(context: Context, instant: datetime | None) -> str:
    """Return a moment by the viewer's clock, to the minute; the zone is named in its title."""
    if instant is None:
        return "\u2013"
    visit: Guest = context["visit"]
    try:
        local = instant.astimezone(visit.zone)
    except OverflowError:  # a stranger's date may be the calendar's last
        local = instant
    day = local.strftime(_DAY[visit.language])
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        instant.isoformat(timespec="seconds"),
        f"{day} {local:%H:%M:%S} {local.tzname()}",
        f"{day} {local:%H:%M}",
    )


@pass_context
def _show_day(context: Context, instant: datetime) -> str:
    """Return the day alone."""
    visit: Guest = context["visit"]
    return instant.astimezone(visit.zone).strftime(_DAY[visit.language])


@pass_context
def _show_span(context: Context, seconds: float) -> str:
    """Return a length of time in its two largest units."""
    visit: Guest = context["visit"]
    whole = max(0, math.floor(seconds))
    parts = {
        "days": whole // _DAY_S,
        "hours": whole % _DAY_S // _HOUR_S,
        "minutes": whole % _HOUR_S // _MINUTE_S,
        "seconds": whole,
    }
    if whole < _MINUTE_S:
        return visit._("%(seconds)s s") % parts
    if whole < _HOUR_S:
        return visit._("%(minutes)s min") % parts
    if whole < _DAY_S:
        return visit._("%(hours)s h %(minutes)s min") % parts
    return visit._("%(days)s d %(hours)s h") % parts


@pass_context
def _show_size(context: Context, size_bytes: int) -> str:
    """Return a size in the largest unit that leaves a number above one."""
    size, unit = float(size_bytes), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    shown = f"{size:.0f}" if size >= 10 or unit == "B" else f"{size:.1f}"
    visit: Guest = context["visit"]
    return f"{shown if visit.language == 'en' else shown.replace('.', ',')}\u00a0{unit}"


@pass_context
def _show_count(context: Context, number: int) -> str:
    """Return a whole number with its thousands apart."""
    visit: Guest = context["visit"]
    return f"{number:,}".replace(",", _THOUSANDS[visit.language])


def _make_language_link(visit: "Guest") -> Any:
    """Return what makes the address of this page in another language."""
    query = [pair for pair in visit.request.query_params.multi_items() if pair[0] != "lang"]
    # A form that was refused stands at an address that takes no GET.
    path = visit.request.url.path if visit.request.method == "GET" else "/ui/"

    def link(language: str) -> str:
        return f"{path}?{urlencode([*query, ('lang', language)])}"

    return link
