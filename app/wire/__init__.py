"""Sockets: the SMTP session that delivers and probes.

A craft: no settings, no database; what it needs are arguments, what it finds out are values.
`session.Session` is the door; failure to open is `steps.SessionFailed`, all else is data.
"""
