"""The pages that the program writes, in Chromium: content, order of headings, names for screen readers, the keyboard,
light and dark, narrow screens, paper, no message in the console, no request to anywhere, and texts that attack.

    python3 pages_test.py SECONDSOURCE MAKE_RUNS [--screenshots FOLDER]
"""

import argparse
import base64
import os
import re
import subprocess
import sys
import tempfile
import unittest

from chromium import Browser, find_chromium

OPTIONS = None

# Texts whose luminance contrast with their background is too low (WCAG 2.2, 1.4.3).
LOW_CONTRAST = """(() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const luminance = c => { const [r, g, b] = c.slice(0, 3).map(v => v / 255).map(
    v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const low = [];
  for (const e of document.querySelectorAll('h1,h2,h3,p,li,td,th,caption span,a,summary,figcaption,text,footer,code')) {
    if (!e.textContent.trim() || e.closest('details:not([open]) > :not(summary)')) continue;
    const style = getComputedStyle(e);
    const [a, b] = [luminance(rgb(e.tagName === 'text' ? style.fill : style.color)), luminance(behind(e))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) low.push(`${e.tagName} ${e.textContent.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return low;
})()"""

# For every drawing: its role, the title and description that aria-labelledby refers to, whether it has a table, and its width.
DRAWINGS = """[...document.querySelectorAll('svg.chart')].map(svg => ({
  role: svg.getAttribute('role'),
  names: svg.getAttribute('aria-labelledby').split(' ').map(id => (document.getElementById(id) || {}).textContent),
  hasTable: !!svg.closest('figure').querySelector('details table'),
  box: svg.getBoundingClientRect().width}))"""

TABLES = """[...document.querySelectorAll('table')].map(table => ({
  caption: table.caption && table.caption.textContent,
  columns: [...table.querySelectorAll('thead th')].every(th => th.scope === 'col'),
  rows: [...table.querySelectorAll('tbody tr')].every(tr => tr.cells[0].tagName === 'TH' && tr.cells[0].scope === 'row'),
  widths: [...new Set([...table.rows].map(row => row.cells.length))].length}))"""

# Texts that reach beyond their drawing's box, where they are cut off.
CUT_OFF = """[...document.querySelectorAll('svg.chart')].flatMap(svg => { const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(t => { const r = t.getBoundingClientRect();
    return r.left < box.left - 1 || r.right > box.right + 1 || r.top < box.top - 1 || r.bottom > box.bottom + 1; })
    .map(t => t.textContent); })"""


# Pairs of texts in one drawing that overlap.
OVERLAPS = """[...document.querySelectorAll('svg.chart')].flatMap(svg => {
  const texts = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
  const both = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 4;  // a line of text has some air above and below
  return texts.flatMap(([text, box], i) => texts.slice(i + 1).filter(([, other]) => both(box, other))
    .map(([other]) => text + ' | ' + other)); })"""

# Lines of the gate's drawing that go through a text.
CROSSED = """[...document.querySelectorAll('#gate svg.chart')].flatMap(svg => {
  const lines = [...svg.querySelectorAll('path.grid, path.axis, path.mark, path.line')].map(p => p.getBoundingClientRect());
  return [...svg.querySelectorAll('text:not(.quiet)')].filter(t => { const box = t.getBoundingClientRect();
    return lines.some(l => l.left < box.right && l.right > box.left && l.top < box.bottom - 3 && l.bottom > box.top + 3); })
    .map(t => t.textContent); })"""

# Points of a roofline above its highest roof, in pixels of the drawing.
ABOVE_ROOF = """[...document.querySelectorAll('#roofline svg.chart')].flatMap(svg => {
  const roofs = [...svg.querySelectorAll('path.roof')].map(p => p.getAttribute('d').slice(1).split('L')
    .map(xy => xy.trim().split(' ').map(Number)));
  const height = (roof, x) => { for (let i = 1; i < roof.length; ++i) { const [[ax, ay], [bx, by]] = [roof[i - 1], roof[i]];
    if (x >= ax - 1 && x <= bx + 1) return bx > ax ? ay + (by - ay) * (x - ax) / (bx - ax) : Math.min(ay, by); } return Infinity; };
  return [...svg.querySelectorAll('path.point')].filter(p => { const b = p.getBBox(), x = b.x + b.width / 2, y = b.y + b.height / 2;
    return y < Math.min(...roofs.map(roof => height(roof, x))) - 1.5; }).map(p => p.textContent); })"""

# Tables that have to be scrolled sideways and lack the shading at their edges that shows it.
WITHOUT_HINT = """[...document.querySelectorAll('.scroll')].filter(div => div.scrollWidth > div.clientWidth + 1).filter(div => {
  const style = getComputedStyle(div);
  return (style.backgroundImage.match(/linear-gradient/g) || []).length < 4 || !/local/.test(style.backgroundAttachment); })
  .map(div => div.textContent.slice(0, 60))"""

# Cells so narrow that their lines hold fewer than six characters on average.
NARROW = """[...document.querySelectorAll('td, tbody th')].filter(cell => cell.textContent.length > 20).filter(cell => {
  const range = document.createRange();
  range.selectNodeContents(cell);
  const tops = [...range.getClientRects()].map(box => box.top).sort((a, b) => a - b);
  const lines = tops.filter((top, i) => i === 0 || top > tops[i - 1] + 4).length;
  return cell.textContent.length / lines < 6; }).map(cell => cell.textContent.slice(0, 60))"""

PRINTED_WIDTH = 688  # of A4 without the margins, in CSS pixels
SAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "reports", "samples")


def heights_of_headings(pdf):
    """The height of each heading above the bottom of its page in points, from the targets in the PDF's outline."""
    entries = [thing for thing in pdf.split(b"endobj") if b"/Title" in thing and b"/Parent" in thing]
    return [float(y) for entry in entries for y in re.findall(rb"/XYZ [\d.-]+ ([\d.-]+)", entry)]


def program(*arguments):
    return subprocess.run([OPTIONS.program, *map(str, arguments)], check=True, stdout=subprocess.PIPE).stdout


class Pages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="secondsource-pages-")
        cls.browser = Browser().__enter__()
        cls.pages = {}

    @classmethod
    def tearDownClass(cls):
        cls.browser.__exit__()
        cls.scratch.cleanup()

    def report_of(self, kind):
        """The path of the HTML report on the runs that make_runs writes for this kind."""
        if kind not in self.pages:
            folder = os.path.join(self.scratch.name, kind)
            subprocess.run([OPTIONS.make_runs, kind, folder], check=True)
            self.pages[kind] = folder + ".html"
            program("report", folder, "--format", "html", "--out", self.pages[kind])
        return self.pages[kind]

    def check_page(self, page):
        """Checks what every page must satisfy."""
        self.assertEqual(page.messages, [])
        self.assertEqual(page.requests, [])
        self.assertEqual(page.evaluate("document.scripts.length"), 0)
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        self.assertEqual(len(ids), len(set(ids)))
        anchors = page.evaluate("[...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
        self.assertTrue(all(anchor.startswith("#") and anchor[1:] in ids for anchor in anchors), anchors)
        levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4,h5,h6')].map(h => +h.tagName[1])")
        self.assertEqual(levels.count(1), 1)
        self.assertTrue(all(after <= before + 1 for before, after in zip(levels, levels[1:])), levels)
        for drawing in page.evaluate(DRAWINGS):
            self.assertEqual(drawing["role"], "img")
            self.assertTrue(all(drawing["names"]) and len(drawing["names"]) == 2, drawing)
            self.assertTrue(drawing["hasTable"])
        for table in page.evaluate(TABLES):
            self.assertTrue(table["caption"], table)
            self.assertTrue(table["columns"] and table["rows"], table)
            self.assertEqual(table["widths"], 1, table)
        self.assertEqual(page.evaluate(CUT_OFF), [])
        self.assertEqual(page.evaluate(OVERLAPS), [])
        self.assertEqual(page.evaluate(CROSSED), [])
        self.assertEqual(page.evaluate(ABOVE_ROOF), [])
        self.assertEqual(page.evaluate(WITHOUT_HINT), [])
        self.assertNotRegex(page.evaluate("document.body.textContent"), r"\d\.\d+e-0\d")

    def check_paper(self, page):
        """Checks what every page must satisfy when it is printed on A4. Afterwards the page still emulates print."""
        pdf = base64.b64decode(page.call("Page.printToPDF", {
            "preferCSSPageSize": True, "printBackground": True, "generateTaggedPDF": True, "generateDocumentOutline": True})["data"])
        heights = heights_of_headings(pdf)
        self.assertGreater(len(heights), 3)
        # Each heading is followed by room for at least three lines before the bottom margin of 15 mm (43 points).
        self.assertGreater(min(heights), 43 + 36)
        page.call("Emulation.setEmulatedMedia", {"media": "print"})
        page.resize(PRINTED_WIDTH, 1000)
        self.assertEqual(page.evaluate(NARROW), [])
        self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), PRINTED_WIDTH)
        return pdf

    def screenshot(self, page, name):
        if OPTIONS.screenshots:
            os.makedirs(OPTIONS.screenshots, exist_ok=True)
            page.screenshot(os.path.join(OPTIONS.screenshots, name + ".png"))

    def test_the_report_says_the_verdict_first_and_shows_every_chart(self):
        page = self.browser.open(self.report_of("varied"))
        self.check_page(page)
        self.screenshot(page, "report-light")
        sections = page.evaluate("[...document.querySelectorAll('main > section')].map(s => s.id)")
        self.assertEqual(sections, ["summary", "throughput", "latency", "cost", "memory", "roofline", "bounds", "timeline",
                                    "results", "golden", "evidence"])
        self.assertEqual(page.evaluate("[...document.querySelectorAll('.verdict.bad')].map(p => p.textContent)"),
                         ["\u2717WRONG TOKENS from 1 of 7 combinations of backend and variant",
                          "\u271722 of 26 cells complete, 2 partial, 1 failed, 1 invalid"])
        for section in sections[1:6] + ["timeline"]:
            self.assertGreater(page.evaluate(f"document.querySelectorAll('#{section} svg.chart').length"), 0, section)
        # A system with wrong tokens gets no credit: its row has no figures, and no chart has a line for it.
        row = page.evaluate("[...document.querySelectorAll('#results tbody tr')].map(r => r.innerText.split('\\t'))"
                            ".find(r => r[1] === 'onednn' && r[2] === 'int8')")
        self.assertEqual(row[4:], ["WRONG TOKENS"] + ["-"] * 6)
        self.assertFalse(page.evaluate("[...document.querySelectorAll('.legend')].some(l => /onednn int8/.test(l.textContent))"))
        # The chart's description names the fastest systems.
        self.assertRegex(page.evaluate("document.querySelector('#throughput svg desc').textContent"),
                         r"cpu \w+, single-stream gives the fastest stream to a user, cpu \w+, offline-b16 the most tokens")

    def test_a_screen_reader_finds_landmarks_images_and_tables_by_name(self):
        page = self.browser.open(self.report_of("varied"))
        nodes = [node for node in page.accessibility_tree() if not node.get("ignored")]
        def named(role):
            return [node["name"]["value"] for node in nodes if node["role"]["value"] == role]
        self.assertEqual(named("banner") + named("navigation"), ["", "Contents"])
        self.assertEqual((len(named("main")), len(named("contentinfo"))), (1, 1))
        images = named("image") + named("img")
        self.assertGreater(len(images), 10)
        self.assertTrue(all(images))
        self.assertTrue(all(named("table")))
        self.assertIn("Summary", named("region"))

    def test_the_keyboard_reaches_the_content_and_shows_where_it_is(self):
        page = self.browser.open(self.report_of("varied"))
        page.press("Tab")
        self.assertEqual(page.evaluate("document.activeElement.className"), "skip")
        self.assertGreaterEqual(page.evaluate("document.activeElement.getBoundingClientRect().left"), 0)
        page.press("Enter")
        self.assertEqual(page.evaluate("document.activeElement.id"), "main")
        seen = []
        for _ in range(12):
            page.press("Tab")
            seen.append(page.evaluate("document.activeElement.tagName + ' ' + (document.activeElement.getAttribute('role') || '')"))
            width = page.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)")
            self.assertGreaterEqual(width, 2)
        self.assertIn("DIV region", seen)  # a wide table that can be scrolled
        self.assertIn("SUMMARY ", seen)    # the numbers of a chart
        page.evaluate("document.querySelector('figure summary').focus()")
        page.press("Enter")
        self.assertTrue(page.evaluate("document.querySelector('figure details').open"))

    def test_texts_can_be_read_in_light_and_dark(self):
        for dark in (False, True):
            page = self.browser.open(self.report_of("varied"), dark=dark)
            self.screenshot(page, "report-dark" if dark else "report-light")
            self.assertEqual(page.evaluate(LOW_CONTRAST), [])
            paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
            self.assertEqual(paper, "rgb(20, 23, 27)" if dark else "rgb(255, 255, 255)")

    def test_a_narrow_screen_scrolls_tables_and_not_the_page(self):
        for kind in ("varied", "hostile"):
            page = self.browser.open(self.report_of(kind), width=320, height=640)
            self.screenshot(page, f"{kind}-narrow")
            self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), 320)
            self.assertEqual(page.evaluate(CUT_OFF), [])

    def test_it_prints_on_a4(self):
        for dark in (False, True):
            page = self.browser.open(self.report_of("varied"), dark=dark)
            pdf = page.pdf()
            boxes = {tuple(round(float(x)) for x in box.split())
                     for box in re.findall(rb"/MediaBox ?\[([^\]]*)\]", pdf)}
            self.assertEqual(boxes, {(0, 0, 595, 842)})  # points: 210 x 297 mm
            page.call("Emulation.setEmulatedMedia", {"media": "print", "features": [
                {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})
            self.assertEqual(page.evaluate("getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)")
            self.assertEqual(page.evaluate("getComputedStyle(document.querySelector('nav')).display"), "none")
            if OPTIONS.screenshots and not dark:
                with open(os.path.join(OPTIONS.screenshots, "report.pdf"), "wb") as file:
                    file.write(pdf)

    def test_a_brief_shows_the_saving_on_a_phone_and_prints_on_paper(self):
        for sample in ("cpu-serving", "second-gpu-supplier"):
            path = os.path.join(SAMPLES, sample, "brief.html")
            for width in (1280, 390):
                with self.subTest(sample, width=width):
                    page = self.browser.open(path, width=width)
                    self.check_page(page)
                    self.screenshot(page, f"{sample}-{width}")
                    self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), width)
                    saving = page.evaluate("""[...document.querySelectorAll('#costs thead th')].find(th => /^Saving/.test(th.textContent))
                        .getBoundingClientRect().right""")
                    self.assertLess(saving, width)
            with self.subTest(sample, on="paper"):
                self.check_paper(self.browser.open(path))

    def test_reports_print_without_narrow_columns_and_orphan_headings(self):
        for kind in ("varied", "hostile"):
            self.check_paper(self.browser.open(self.report_of(kind)))

    def test_a_gate_s_verdict_alone_and_a_history_are_pages_as_well(self):
        folder = self.report_of("varied").removesuffix(".html")
        gate = os.path.join(self.scratch.name, "gate.json")
        with open(gate, "wb") as file:
            subprocess.run([OPTIONS.program, "gate", folder, folder, "--allow-unverified", "--format", "json"], stdout=file)
        database = os.path.join(self.scratch.name, "history.db")
        nights = os.path.join(self.scratch.name, "nights")
        subprocess.run([OPTIONS.make_runs, "nights", nights, "60"], check=True)
        night_folders = [os.path.join(nights, name) for name in sorted(os.listdir(nights))]
        program("history", "add", "--db", database, *night_folders)
        program("history", "pin", "--db", database, *[f"{0xabc00000 + night:016x}" for night in range(5)])
        made = {"gate": ("report", "--gate", gate, "--format", "html"),
                "history": ("history", "plot", "--db", database),
                "both": ("report", night_folders[-1], "--gate", gate, "--history", database, "--format", "html")}
        for name, arguments in made.items():
            path = os.path.join(self.scratch.name, name + ".page.html")
            program(*arguments, "--out", path)
            for dark, width in ((False, 1280), (True, 320)):
                with self.subTest(name, width=width):
                    page = self.browser.open(path, dark=dark, width=width)
                    self.check_page(page)
                    self.assertEqual(page.evaluate(LOW_CONTRAST), [])
                    self.assertLessEqual(page.evaluate("document.documentElement.scrollWidth"), width)
                    self.screenshot(page, f"{name}-{width}")
            sections = page.evaluate("[...document.querySelectorAll('main > section')].map(s => s.id)")
            self.assertEqual("gate" in sections, name != "history")
            self.assertEqual("history" in sections, name != "gate")
            if name != "gate":
                # A loss of 12 % after two thirds of 60 nights, and the anchor that was pinned.
                texts = page.evaluate("[...document.querySelectorAll('#history svg.chart text.mark')].map(t => t.textContent)")
                self.assertTrue(any(re.search("worse", text) for text in texts), texts)
                self.assertTrue(page.evaluate("/pinned anchor/.test(document.querySelector('#history .legend').textContent)"))

    def test_a_drawing_by_itself_is_whole(self):
        nights = os.path.join(self.scratch.name, "few")
        subprocess.run([OPTIONS.make_runs, "nights", nights, "8"], check=True)
        database = os.path.join(self.scratch.name, "few.db")
        program("history", "add", "--db", database, *[os.path.join(nights, name) for name in sorted(os.listdir(nights))])
        path = os.path.join(self.scratch.name, "trend.svg")
        program("history", "plot", "--db", database, "--cell", "alpha/cpu/bf16/single-stream", "--out", path)
        page = self.browser.open(path)
        self.assertEqual((page.messages, page.requests), ([], []))
        self.assertEqual(page.evaluate("document.documentElement.querySelector('title').textContent"),
                         "alpha/cpu/bf16/single-stream")
        self.assertEqual(page.evaluate("document.querySelectorAll('circle').length"), 8)
        self.assertEqual(page.evaluate("getComputedStyle(document.querySelector('circle')).fill"), "rgb(36, 112, 184)")

    def test_names_that_attack_are_shown_and_do_nothing(self):
        page = self.browser.open(self.report_of("hostile"))
        self.screenshot(page, "hostile")
        self.check_page(page)
        self.assertIsNone(page.evaluate("window.hacked || null"))
        self.assertEqual(page.evaluate("document.querySelectorAll('img, iframe, object, embed, link, form').length"), 0)
        self.assertEqual(page.evaluate("document.styleSheets.length"), 1)
        text = page.evaluate("document.body.textContent")
        self.assertIn("<script>window.hacked=1</script>", text)
        self.assertIn("\\x1b[31mred\\x07\\x01", text)
        self.assertIn("evil\\u{202e}txt.exe", text)
        self.assertNotRegex(text, "[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e\u2066-\u2069]")
        self.assertIn("\u2026 (100000 bytes)", text)
        self.assertLess(max(map(len, text.split("\n"))), 20_000)
        self.assertLess(os.path.getsize(self.report_of("hostile")), 1 << 20)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("make_runs")
    parser.add_argument("--screenshots")
    OPTIONS, rest = parser.parse_known_args()
    if not find_chromium():
        print("skipped: there is no Chromium; ./dev browser installs it")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1] + rest, verbosity=1)
