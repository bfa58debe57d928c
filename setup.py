"""Makes the README's links absolute where PROJECT_URL says where the project lives: PyPI shows a README without its folder.

All else stands in setup.cfg. The release workflow sets PROJECT_URL; without it the links stay as they are.
"""

import os
import re
from pathlib import Path

from setuptools import setup

URL = os.environ.get("PROJECT_URL", "").rstrip("/")
LINK = re.compile(r"\]\((?!https?:|#)([^)\s]+)\)")

if URL:
    readme = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
    setup(
        long_description=LINK.sub(rf"]({URL}/blob/main/\1)", readme),
        url=URL,
        project_urls={"Changelog": f"{URL}/blob/main/CHANGELOG.md", "Issues": f"{URL}/issues"},
    )
else:
    setup()
