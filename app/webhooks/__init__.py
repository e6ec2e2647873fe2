"""Events pushed to other programs: each webhook follows the feed from a place of its own.

``collect`` turns what the feed says into deliveries, ``queue`` claims and settles them, ``postman``
carries them; a kill in between sends one again, under the same id. Mail waits for none of it.
"""
