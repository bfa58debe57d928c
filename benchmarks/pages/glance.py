"""The verdicts of the claims: counted, at a glance, one by one, and why those that do not hold do not."""

from benchmarks.pages.paper_parts import markdown
from benchmarks.pages.verdicts import NOT_MEASURED

NO, BLIND = "**no**", "blind"
SHORT = ("amazon-digital-music-5core", "ADM")


def by_cell(found):
    """Return the claims by what they say and the setting: Figure 3's are several in one, one for each request."""
    found_in = {}
    for claim in found:
        found_in.setdefault((claim.what, setting(claim)), []).append(claim)
    return found_in


def summary(found):
    """Return the three sentences in a row."""
    return " ".join(sentences(found))


def sentences(found):
    """Return three sentences: the verdicts of the paper's claims, those of our aims, and how many are in doubt."""
    words = {
        whose: [verdict(part) for part in by_cell(c for c in found if c.papers_own == whose).values()]
        for whose in (True, False)
    }
    counts = []
    for told in words.values():
        no, unknown, blind = sum(word.startswith(NO) for word in told), told.count(NOT_MEASURED), told.count(BLIND)
        alone = sum("1 seed" in word and not word.startswith(NO) for word in told)
        holding = len(told) - no - unknown - blind - alone
        counts.append(
            f"{holding} hold, {no} do not, {alone} hold on one seed, {unknown} are not measured and {blind} rest on the "
            f"strong oracle where it is blind, of {len(told)}"
        )
    weak, wide = (sum(doubt in word for told in words.values() for word in told) for doubt in ("weak", "wide"))
    return [
        f"Of the paper's claims, each asked of our settings (of ml-100k as well, which the paper does not use), {counts[0]}.",
        f"Of this project's aims {counts[1]}.",
        f"Of those that hold, {weak} rest on an oracle that is weak there and {wide} on a mean whose interval is wide.",
    ]


def glances(found):
    titles = {True: "The paper's claims", False: "This project's aims"}
    columns = list(dict.fromkeys(setting(claim) for claim in found))
    parts = [
        f"### {title}\n\n" + glance([claim for claim in found if claim.papers_own == whose], columns)
        for whose, title in titles.items()
    ]
    return "\n\n".join(parts)


def glance(found, columns):
    """Return every claim's verdict in every setting: a row for a claim, a column for a data set and model."""
    in_cell = by_cell(found)
    body = [
        [what, *(verdict(in_cell.get((what, name), [])) for name in columns)]
        for what in dict.fromkeys(claim.what for claim in found)
    ]
    return markdown(body, ["claim", *(name.replace(*SHORT) for name in columns)])


def setting(claim):
    return ", ".join(claim.where.split(", ")[:2])


def verdict(claims):
    """Return the word for the claims of one cell."""
    if not claims:
        return "–"
    known = [claim for claim in claims if claim.holds is not None]
    if not known:
        return NOT_MEASURED
    alone = ", 1 seed" * (min(claim.seeds for claim in known) == 1)
    if not all(claim.holds for claim in known):
        return NO + alone
    if any(claim.blind for claim in known):
        return BLIND
    doubts = [name for name in ("weak", "wide") if any(getattr(claim, name) for claim in known)]
    return ", ".join(doubts) + alone if doubts else "1 seed" if alone else "yes"


def claim_table(found):
    body = [[claim.where, claim.what, claim.paper, claim.here, claim.seeds, claim.verdict] for claim in found]
    return markdown(body, ["", "claim", "paper", "here", "seeds", "verdict"])


def reasons(found):
    """Return why what does not hold does not, as far as it is known: a line for each claim, with where it fails."""
    failing = {}
    for claim in found:
        if claim.holds is False:
            why = claim.why or "the cause was not looked for"
            failing.setdefault(claim.what, {}).setdefault(why, []).append(claim.where)
    parts = []
    for what in dict.fromkeys(claim.what for claim in found if claim.what in failing):
        listed = [f"    - {'; '.join(where)}: {why}." for why, where in failing[what].items()]
        parts.append("\n".join([f"- {what}", *listed]))
    return "\n".join(parts) or "Everything holds."
