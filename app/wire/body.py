"""A finished message as it goes over the wire: checked once, dots stuffed once, then only written.

What must never reach a server is found here (SMTP smuggling): to some servers a lone CR or LF ends
a line, and a dot behind it a message. `prepare_body` costs a few µs per KB; its result may be
kept and sent any number of times.
"""

from dataclasses import dataclass, field

# All but what could make a line end.
_HARMLESS = bytes(octet for octet in range(256) if octet not in b"\0\r\n")


@dataclass(frozen=True, slots=True)
class Body:
    """octets: the message, its last line ended. stuffed: with the dots of RFC 5321 §4.5.2.

    Where no line starts with a dot both are the same object. is_sound: every line ends in CR LF,
    and there is no NUL; another body is never sent. is_ascii: it needs no 8BITMIME.
    """

    octets: bytes = field(repr=False)
    stuffed: bytes = field(repr=False)
    is_sound: bool
    is_ascii: bool


def prepare_body(octets: bytes) -> Body:
    """Check a message and make it ready for DATA; a last line end is added where it lacks."""
    if octets and not octets.endswith(b"\r\n"):
        octets += b"\r\n"
    # Every CR, LF and NUL that there is belongs to a pair.
    is_sound = len(octets.translate(None, _HARMLESS)) == 2 * octets.count(b"\r\n")
    return Body(octets, stuff_dots(octets) if is_sound else octets, is_sound, octets.isascii())


def stuff_dots(octets: bytes) -> bytes:
    """Double the dot at the start of every line (RFC 5321 §4.5.2); the same object where none."""
    if b"\r\n." in octets:
        octets = octets.replace(b"\r\n.", b"\r\n..")
    return b"." + octets if octets.startswith(b".") else octets
