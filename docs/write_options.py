"""Write the table of options in the README anew, from the options themselves: ``make readme``."""

from pathlib import Path

from trackkit.cli.options import options_table
from trackkit.cli.track import GROUPS

BEGIN, END = "<!-- options: begin -->", "<!-- options: end -->"
README = Path(__file__).parents[1] / "README.md"


def with_table(text: str) -> str:
    """The text with the table of today between its marks."""
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{options_table(*GROUPS.values())}\n{END}{after}"


if __name__ == "__main__":
    README.write_text(with_table(README.read_text()))
