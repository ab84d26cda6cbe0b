"""Pictures as text: values in, SVG out. No clock, no randomness, no fonts loaded, nothing fetched.

Rules of the room, each held by a test:
1. The same values give the same bytes, in whatever order they come.
2. Colours are presentation attributes; classes are only hooks for a page's dark mode (`colour.dark_css`); no `style` attribute.
3. Every picture has `role="img"`, a `<title>` and a `<desc>` that says it in a sentence; every mark has a `<title>` of its own.
4. Text fits: widths come from a metrics table, labels are shortened, none leaves the picture or covers another.
5. Nothing is told by colour alone: a number, a size or a side says the same.
6. No map, no place of a subject, no mark of protection.
"""
