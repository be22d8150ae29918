"""SVG files without the digits in which processors differ."""

from liquidbench.reporting.rounded_svg import rounded_svg

SVG = """<svg width="720pt" viewBox="0 0 720 522">
<path d="M 41.242344 207.2476{a} L 255.56156{b} -0.0001 z" clip-path="url(#p1169d24e4{b})" style="opacity: 0.12345"/>
<defs><path id="mabcdef012{b}" d="M 0 1.5"/></defs>
<use xlink:href="#mabcdef012{b}" x="121.078{a}3" y="38.16"/>
<text x="5" transform="translate(111.63896{b} 221.846094) scale(0.015625 -0.1)">0.00012345 p1169d24e42</text>
<clipPath id="p1169d24e4{b}"><rect x="41.25" y="2" width="3" height="4"/></clipPath>
</svg>"""


def test_last_digits_and_hashes_do_not_matter():
    drawn = [rounded_svg(SVG.format(a=a, b=b)) for a, b in (("55", "2"), ("56", "3"))]
    assert drawn[0] == drawn[1]
    assert drawn[0] == (
        """<svg width="720pt" viewBox="0 0 720 522">
<path d="M 41.242 207.248 L 255.562 0 z" clip-path="url(#p-2)" style="opacity: 0.12345"/>
<defs><path id="m-1" d="M 0 1.5"/></defs>
<use xlink:href="#m-1" x="121.079" y="38.16"/>
<text x="5" transform="translate(111.639 221.846) scale(0.015625 -0.1)">0.00012345 p1169d24e42</text>
<clipPath id="p-2"><rect x="41.25" y="2" width="3" height="4"/></clipPath>
</svg>"""
    )
