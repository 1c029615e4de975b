"""The settings of Sphinx. stage.py makes the pages."""

project = "secondsource"
author = "the secondsource maintainers"
html_title = "secondsource"
language = "en"
root_doc = "index"

extensions = ["myst_parser"]
myst_heading_anchors = 6  # every heading has the anchor that code hosts give it
highlight_language = "none"  # a block without a language is a terminal, not Python
nitpicky = True

html_theme = "furo"
html_static_path = ["style"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_show_copyright = False
html_use_index = False
# For excerpts, the search would have to fetch each page found, which a browser refuses to pages that are opened as files.
html_show_search_summary = False
