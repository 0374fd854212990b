"""The report page as a Jinja2 template: plain semantic HTML and one small style sheet."""

from __future__ import annotations

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ page.title }}</title>
<style>
:root { --ink: #22262e; --soft: #5b6472; --rule: #dfe3e8; --wash: #f5f7f9; --accent: #0b5c94;
        --good: #17683a; --good-wash: #e9f5ee; --bad: #9b2219; --bad-wash: #fcefed; }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: #fff; line-height: 1.5;
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 0 1.5rem 4rem; }
.state { margin: 0; padding: .7rem 1.5rem; font-weight: 600; text-align: center; }
.state.complete { background: var(--good-wash); color: var(--good); }
.state.incomplete { background: var(--bad-wash); color: var(--bad); }
header { padding: 2.2rem 0 .6rem; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .3rem; letter-spacing: -.01em; }
header p { margin: .2rem 0; color: var(--soft); max-width: 48rem; }
nav { border-block: 1px solid var(--rule); padding: .55rem 0; margin: 1.2rem 0 0; }
nav a { margin-right: 1.3rem; white-space: nowrap; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
section { margin-top: 2.8rem; }
h2 { font-size: 1.35rem; margin: 0 0 .5rem; }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .3rem; }
section > p { max-width: 48rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem;
         margin: 1.4rem 0 0; }
.facts div { background: var(--wash); border-radius: .5rem; padding: .8rem 1rem; }
.facts dt { color: var(--soft); font-size: .85rem; }
.facts dd { margin: 0; font-size: 1.5rem; font-weight: 650; line-height: 1.3;
            font-variant-numeric: tabular-nums; }
.facts dd small { display: block; font-size: .82rem; font-weight: 400; color: var(--soft); }
figure { margin: 1.4rem 0 2rem; }
figure img { display: block; max-width: 100%; height: auto; }
figcaption, caption { color: var(--soft); font-size: .9rem; max-width: 52rem; }
figcaption { margin-top: .5rem; }
figcaption b, caption b { color: var(--ink); }
.scroll { overflow-x: auto; margin: 1.2rem 0 1.8rem; }
td[colspan] { text-align: center; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums;
        min-width: min(100%, 46rem); }
caption { text-align: left; padding-bottom: .5rem; }
th, td { padding: .32rem .55rem; text-align: right; border-bottom: 1px solid var(--rule);
         white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { border-bottom: 1.5px solid var(--ink); vertical-align: bottom; font-weight: 600; }
tbody th { font-weight: 600; white-space: normal; min-width: 6.5rem; }
td small { color: var(--soft); display: block; line-height: 1.2; font-weight: 400;
           white-space: pre; }
td.strong { font-weight: 700; }
td.paper { color: var(--soft); }
td.partial { color: var(--bad); }
td.absent { color: #a4abb5; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(26rem, 1fr)); gap: 1rem; }
.gallery.wide { grid-template-columns: 1fr; gap: 1.6rem; }
.gallery figure { margin: 0; }
ul.plain { padding-left: 1.1rem; }
details { margin: 1rem 0; }
summary { cursor: pointer; color: var(--accent); }
dl.terms { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem;
           font-size: .9rem; }
dl.terms dt { font-weight: 600; }
dl.terms dd { margin: 0; overflow-wrap: anywhere; }
footer { margin-top: 3rem; color: var(--soft); font-size: .85rem; }
@media (max-width: 40rem) { .gallery { grid-template-columns: 1fr; }
  dl.terms { grid-template-columns: 1fr; } dl.terms dd { margin-bottom: .5rem; } }
@media print {
  @page { size: A4; margin: 15mm 14mm; }
  body { font-size: 9.5pt; } main { max-width: none; padding: 0; } nav { display: none; }
  .state { border: 1px solid currentColor; } section { margin-top: 1.6rem; }
  h2, h3, caption { break-after: avoid; break-inside: avoid; }
  figure, tr, .facts, .scroll { break-inside: avoid; }
  table { font-size: 8pt; } th, td { padding: .2rem .45rem; } .scroll { overflow: visible; }
  .gallery:not(.wide) { grid-template-columns: 1fr 1fr; } figure img { max-height: 225mm; }
}
</style>
</head>
<body>
<p class="state {{ 'complete' if page.complete else 'incomplete' }}">{{ page.state }}</p>
<main>
<header>
<h1>{{ page.title }}</h1>
{% for line in page.lead %}<p>{{ line }}</p>
{% endfor %}
<dl class="facts">
{% for fact in page.facts %}<div><dt>{{ fact.name }}</dt><dd>{{ fact.value }}\
<small>{{ fact.note }}</small></dd></div>
{% endfor %}</dl>
<nav>{% for section in page.sections %}<a href="#s{{ loop.index }}">{{ section.title }}</a>
{% endfor %}</nav>
</header>
{% for section in page.sections %}
<section id="s{{ loop.index }}">
<h2>{{ section.title }}</h2>
{% for text in section.text %}<p>{{ text }}</p>
{% endfor %}
{% for part in section.parts %}{{ draw(part) }}
{% endfor %}
</section>
{% endfor %}
<footer>{{ page.footer }}</footer>
</main>
</body>
</html>
"""

TABLE = """\
<div class="scroll"><table>
<caption><b>{{ table.title }}</b> {{ table.caption }}\
{% if table.csv %} <a href="{{ table.csv }}">{{ table.csv }}</a>{% endif %}</caption>
<thead><tr>{% for name in table.headers %}<th scope="col">{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}<tr>{% for cell in row %}\
{% if loop.first %}<th scope="row">{{ cell.text }}</th>{% else %}\
<td{% if cell.kind %} class="{{ cell.kind }}"{% endif %}\
{% if cell.columns > 1 %} colspan="{{ cell.columns }}"{% endif %}>{{ cell.text }}\
{% if cell.note %}<small>{{ cell.note }}</small>{% endif %}</td>{% endif %}{% endfor %}</tr>
{% endfor %}</tbody>
</table></div>
"""

IMAGE = """\
<figure><img src="data:{{ media }};base64,{{ data }}" alt="{{ image.alt }}" \
width="{{ width }}" height="{{ height }}">
<figcaption><b>{{ image.title }}</b> {{ image.caption }}\
{% if image.pdf %} <a href="{{ image.pdf }}">PDF</a>{% endif %}</figcaption></figure>
"""

GALLERY = """\
{% if gallery.title %}<h3>{{ gallery.title }}</h3>{% endif %}
<div class="gallery{{ ' wide' if gallery.wide }}">
{% for image in images %}{{ image }}{% endfor %}</div>
"""

TERMS = """\
{% if terms.title %}<h3>{{ terms.title }}</h3>{% endif %}
<dl class="terms">
{% for name, text in terms.items %}<dt>{{ name }}</dt><dd>{{ text }}</dd>
{% endfor %}</dl>
"""

BULLETS = """\
<details{% if bullets.open %} open{% endif %}><summary>{{ bullets.title }}</summary>
<ul class="plain">{% for text in bullets.items %}<li>{{ text }}</li>
{% endfor %}</ul></details>
"""
