"""The macros that every template knows: names, aliases, meaning, and the rule without a value.

No name and no alias equals an HTML element's name, because the catalogue alone may be spelled
``<numer>``. ``resolve`` turns any alias into the one name under which values are kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from app.templates_engine.names import normalise


@dataclass(frozen=True, slots=True)
class Macro:
    """One macro of the catalogue.

    type: ``text``, ``date``, ``money``, ``list`` or ``table``. meaning, rule: by language (pl, fr,
    en); rule says what happens without a value, None means that the message is refused.
    empty_without_value: nothing is put in its place instead of refusing.
    """

    name: str
    aliases: tuple[str, ...]
    type: str
    meaning: Mapping[str, str]
    example: str
    rule: Mapping[str, str] | None = None
    empty_without_value: bool = False


def _say(pl: str, fr: str, en: str) -> dict[str, str]:
    return {"pl": pl, "fr": fr, "en": en}


CATALOGUE: tuple[Macro, ...] = (
    Macro(
        "numer",
        ("numer dokumentu", "number", "document number", "numéro", "numero", "numéro du document"),
        "text",
        _say("Numer dokumentu.", "Numéro du document.", "Number of the document."),
        "FV 12/2026",
        _say(
            "Gdy podano dokładnie jeden dokument: jego numer.",
            "Si un seul document est donné : son numéro.",
            "With exactly one document: its number.",
        ),
    ),
    Macro(
        "numery",
        ("numery dokumentów", "numbers", "document numbers", "numéros", "numeros"),
        "list",
        _say(
            "Numery dokumentów oddzielone przecinkami.",
            "Numéros des documents, séparés par des virgules.",
            "Numbers of the documents, separated by commas.",
        ),
        "FV 12/2026, FV 13/2026",
        _say(
            "Numery z listy dokumentów, a bez niej {numer}.",
            "Les numéros de la liste des documents, sinon {numer}.",
            "The numbers in the list of documents, else {numer}.",
        ),
    ),
    Macro(
        "umowa",
        ("numer umowy", "contract", "contract number", "contrat", "numéro du contrat"),
        "text",
        _say("Numer umowy.", "Numéro du contrat.", "Number of the contract."),
        "U/2026/007",
    ),
    Macro(
        "z dnia",
        ("date", "document date", "issued on", "date du document", "émis le"),
        "date",
        _say(
            "Data sporządzenia dokumentu.",
            "Date d'établissement du document.",
            "Date the document was made.",
        ),
        "31.10.2026",
        _say(
            "Gdy podano dokładnie jeden dokument: jego data.",
            "Si un seul document est donné : sa date.",
            "With exactly one document: its date.",
        ),
    ),
    Macro(
        "kontrahent",
        ("customer", "customer name", "receiver", "client", "destinataire"),
        "text",
        _say("Odbiorca dokumentu.", "Destinataire du document.", "Receiver of the document."),
        "Klient Sp. z o.o.",
    ),
    Macro(
        "firma",
        ("company", "our company", "company name", "société", "societe", "entreprise"),
        "text",
        _say("Nazwa naszej firmy.", "Nom de notre entreprise.", "Our company's name."),
        "Firma Sp. z o.o.",
        _say(
            "Wartość {firma} z makr konfiguracji.",
            "La valeur {firma} des macros de la configuration.",
            "The value of {firma} in the configuration's macros.",
        ),
    ),
    Macro(
        "wysyłający",
        ("wysylajacy", "sender", "sent by", "expéditeur", "expediteur", "envoyé par"),
        "text",
        _say("Kto wysyła dokument.", "Qui envoie le document.", "Who sends the document."),
        "Anna Kowalska",
        _say(
            "Nazwa użytkownika; bez osoby: nadawca z SMTP (nazwa, a bez niej adres).",
            "Le nom de l'utilisateur ; sans personne : l'expéditeur SMTP (nom, sinon adresse).",
            "The user's name; without a person: the SMTP sender (name, else address).",
        ),
    ),
    Macro(
        "data od",
        ("valid from", "contract start", "date de début", "valable du"),
        "date",
        _say(
            "Początek okresu obowiązywania umowy.",
            "Début de la période du contrat.",
            "Start of the contract's period.",
        ),
        "01.11.2026",
    ),
    Macro(
        "data do",
        ("valid until", "contract end", "date de fin", "valable au"),
        "date",
        _say(
            "Koniec okresu obowiązywania umowy.",
            "Fin de la période du contrat.",
            "End of the contract's period.",
        ),
        "31.10.2027",
    ),
    Macro(
        "wystawiający",
        ("wystawiajacy", "issuer", "issued by", "émetteur", "emetteur", "émis par"),
        "text",
        _say("Kto wystawia dokument.", "Qui établit le document.", "Who issued the document."),
        "Jan Nowak",
        _say("Nic nie wstawi.", "Rien n'est inséré.", "Nothing is put in its place."),
        empty_without_value=True,
    ),
    Macro(
        "tabela dokumentów",
        ("tabela dokumentow", "table of documents", "documents table", "tableau des documents"),
        "table",
        _say(
            "Tabela dokumentów (w tytule i w atrybutach: ich numery).",
            "Tableau des documents (dans l'objet et les attributs : leurs numéros).",
            "Table of the documents (in the subject and in attributes: their numbers).",
        ),
        "FV 12/2026 | 31.10.2026 | 1 230,00 zł",
        _say(
            "Powstaje z listy dokumentów.",
            "Formé à partir de la liste des documents.",
            "Made from the list of documents.",
        ),
    ),
    Macro(
        "suma",
        ("total", "amount due", "total due", "somme due", "montant dû"),
        "money",
        _say(
            "Suma do zapłaty, osobno dla każdej waluty.",
            "Somme à payer, par monnaie.",
            "Sum to pay, for each currency.",
        ),
        "1 230,00 zł + 50,00 EUR",
        _say(
            "Suma pozostałych należności z listy dokumentów, a gdzie ich brak, kwot.",
            "Somme des soldes de la liste des documents, à défaut des montants.",
            "Sum of what is outstanding in the list of documents, else of the amounts.",
        ),
    ),
)

BY_NAME: Mapping[str, Macro] = {macro.name: macro for macro in CATALOGUE}
_RESOLVE = {
    normalise(spelling): macro.name
    for macro in CATALOGUE
    for spelling in (macro.name, *macro.aliases)
}


def resolve(name: str) -> str:
    """Return the one name under which a macro's value is kept: aliases become the catalogue's."""
    normalised = normalise(name)
    return _RESOLVE.get(normalised, normalised)
