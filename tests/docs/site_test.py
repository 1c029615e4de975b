"""Tests the site that ./dev docs builds: every page is built without warnings, for example of broken links or of pages without a place in
the navigation; no page makes a browser fetch anything from outside of the site; and, if Chromium is installed, the site opens from local
files, its search finds pages, and no page is wider than a phone's screen.

    python3 site_test.py SOURCE_FOLDER

Skipped (77) without Sphinx, which ./dev docs installs below build/docs. That each page has a place in the navigation is checked anyway.
"""

import html.parser
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SOURCE = Path(sys.argv[1]).resolve()
sys.path.insert(0, str(SOURCE / "tests/browser"))
from chromium import Browser, find_chromium  # noqa: E402

PHONE = 375  # CSS pixels


def find_sphinx():
    for python in (SOURCE / "build/docs/python/bin/python", sys.executable):
        if Path(python).exists() and not subprocess.run([python, "-c", "import sphinx, myst_parser, furo"], capture_output=True).returncode:
            return python
    return None


class Fetched(html.parser.HTMLParser):
    """What a browser fetches for a page, and the anchors that a reader may follow."""

    def __init__(self):
        super().__init__()
        self.addresses, self.links, self.has_viewport = [], [], False

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag in ("script", "img", "iframe", "source") and attributes.get("src"):
            self.addresses.append(attributes["src"])
        if tag == "link" and attributes.get("rel") not in ("index", "search", "next", "prev", "canonical"):
            self.addresses.append(attributes["href"])
        if tag == "a" and attributes.get("href"):
            self.links.append(attributes["href"])
        if tag == "meta" and attributes.get("name") == "viewport":
            self.has_viewport = True


class Site(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="secondsource-site-")
        cls.folder = Path(cls.scratch.name).resolve()
        cls.pages, cls.site = cls.folder / "pages", cls.folder / "site"
        subprocess.run([sys.executable, SOURCE / "docs/site/stage.py", SOURCE, cls.pages], check=True)
        run = subprocess.run([SPHINX, "-B", "-m", "sphinx", "-q", "-n", "-W", "--keep-going", "-b", "html", "-c", SOURCE / "docs/site",
                              cls.pages, cls.site], capture_output=True, text=True)
        assert run.returncode == 0, run.stderr

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def test_every_page_is_there(self):
        for page in self.pages.rglob("*.md"):
            self.assertTrue((self.site / page.relative_to(self.pages)).with_suffix(".html").exists(), page)
        self.assertGreater(len(list(self.pages.rglob("*.md"))), 50)

    def test_a_broken_link_is_an_error(self):
        broken = self.folder / "broken"
        broken.mkdir()
        (broken / "index.md").write_text("# A\n\n[b](#no-such-heading)\n")
        run = subprocess.run([SPHINX, "-B", "-m", "sphinx", "-q", "-n", "-W", "-b", "html", "-c", SOURCE / "docs/site", broken,
                              self.folder / "broken-site"], capture_output=True, text=True)
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("no-such-heading", run.stderr)

    def test_nothing_is_fetched_from_elsewhere_and_every_link_within_leads_to_a_file(self):
        for page in self.site.rglob("*.html"):
            read = Fetched()
            read.feed(page.read_text(encoding="utf-8"))
            is_ours = "_downloads" not in page.parts  # other pages are reports that the site links to
            with self.subTest(page=page.relative_to(self.site)):
                if is_ours:
                    self.assertTrue(read.has_viewport)
                for address in read.addresses + (read.links if is_ours else []):
                    path = re.split(r"[?#]", address)[0]
                    if address in read.addresses and not address.startswith("data:"):
                        self.assertNotRegex(address, r"^([a-z]+:|//)")
                    if path and not re.match(r"[a-z]+:", path):
                        self.assertTrue((page.parent / path).exists(), address)
        for style in self.site.rglob("*.css"):
            self.assertNotRegex(re.sub(r"/\*.*?\*/", "", style.read_text(), flags=re.S), r"(url\(|@import)\s*['\"]?(https?:)?//", style)

    def test_in_a_browser(self):
        if not find_chromium():
            self.skipTest("no Chromium")
        with Browser() as browser:
            for name in ("index", "docs/README", "docs/metrics", "docs/comparison", "docs/examples/server/README"):
                page = browser.open(str(self.site / f"{name}.html"), width=PHONE, height=800)
                with self.subTest(name):
                    self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), PHONE)
                    self.assertEqual([one for one in page.requests if not one.startswith(("file:", "data:"))], [])
                    self.assertEqual(page.messages, [])
            page = browser.open(f"{self.site}/search.html?q=waiver")
            links = page.evaluate("""new Promise(done => { const look = n => {
              const links = [...document.querySelectorAll('#search-results li a')].map(a => a.getAttribute('href'));
              links.length || !n ? done(links) : setTimeout(look, 100, n - 1); }; look(100); })""")
            self.assertTrue(any(link.startswith("docs/gate.html") for link in links), links)


if __name__ == "__main__":
    SPHINX = find_sphinx()
    if not SPHINX:
        with tempfile.TemporaryDirectory() as scratch:
            subprocess.run([sys.executable, SOURCE / "docs/site/stage.py", SOURCE, Path(scratch) / "pages"], check=True)
        print("skipped: Sphinx with MyST and Furo is not installed (./dev docs installs it)")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
