"""Opens attachments as a customer's programs would.

ZIPs are opened by pyzipper, which shares no code with the writer of the archives, so that the demo
does not take Awizo's word for it.
"""

from io import BytesIO

import pikepdf
import pyzipper


def unlock_pdf(content: bytes, password: str) -> str | None:
    """Return the text of a PDF's first page, or None where the password does not open it."""
    try:
        with pikepdf.open(BytesIO(content), password=password) as pdf:
            shown = pikepdf.parse_content_stream(pdf.pages[0])
            return "\n".join(str(each.operands[0]) for each in shown if str(each.operator) == "Tj")
    except pikepdf.PasswordError:
        return None


def unlock_zip(content: bytes, password: str) -> str | None:
    """Return the archive's files as text, or None where the password does not open it."""
    with pyzipper.AESZipFile(BytesIO(content)) as archive:
        archive.setpassword(password.encode())
        try:
            files = {name: archive.read(name).decode() for name in archive.namelist()}
        except RuntimeError:  # how pyzipper says that the password is wrong
            return None
    return "\n".join(f"{name}:\n{text}" for name, text in files.items()).rstrip()
