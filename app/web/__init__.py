"""The admin page at ``/ui``: server-rendered, on the same verbs as the API.

Adding a screen takes five steps:

1. ``screens/<name>.py``: a ``router`` whose endpoints take ``visit: TheVisit`` (somebody signed in)
   and, for a POST, ``form: TheForm`` (read, its CSRF token checked). Ask ``visit.caller`` for rights,
   call a room's verb in ``visit.office.db``; answer ``visit.render("<name>.html", …)``, after a change
   ``visit.go("/ui/…", done=visit._("Saved."))``. Errors of a room may pass: they become a page.
2. List it in ``screens/__init__.py`` (``ROUTERS``) and ``menu.py`` (with the roles that see it).
3. ``templates/<name>.html`` extends ``layout.html``; fields come from ``form.html``. No inline script
   or style: the CSP forbids both; classes stand in ``static/awizo.css``.
4. Wrap every word in ``_()`` (``mark()`` in a table), run ``make words``, translate what is new.
5. Tests in ``tests/web``: ``signed_in("admin")`` is a browser without a socket.
"""
