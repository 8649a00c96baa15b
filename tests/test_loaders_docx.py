"""Word files: what stands outside the body is read too."""

from pathlib import Path

import docx
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml import parse_xml

from mmsdk.loaders import read

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def test_docx_notes_follow_their_paragraph_and_margins_come_last(tmp_path: Path) -> None:
    file = tmp_path / "notes.docx"
    made = docx.Document()
    for text in ("The lamp costs 19 euros.", "It is made of brass."):
        made.add_paragraph(text)
    made.add_table(1, 1).cell(0, 0).text = "灯"
    section = made.sections[0]
    section.different_first_page_header_footer = True
    section.header.paragraphs[0].text = "Lamp works, confidential"
    section.first_page_header.paragraphs[0].text = "第一页"
    section.footer.paragraphs[0].text = "Lamp works, confidential"
    section.footer.add_paragraph("Version 2.3")
    made.add_section().header.is_linked_to_previous = True
    mark = f'<w:r xmlns:w="{W}"><w:footnoteReference w:id="2"/></w:r>'
    made.paragraphs[0]._p.append(parse_xml(mark))
    made.tables[0].cell(0, 0).paragraphs[0]._p.append(parse_xml(mark.replace("footnote", "endnote")))
    for kind, text in (("footnote", "Without tax; 不含税。"), ("endnote", "Chinese for lamp.")):
        notes = (
            f'<w:{kind}s xmlns:w="{W}">'
            f'<w:{kind} w:type="separator" w:id="0"><w:p><w:r><w:t>LINE</w:t></w:r></w:p></w:{kind}>'
            f'<w:{kind} w:id="2"><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:{kind}></w:{kind}s>'
        )
        name = PackURI(f"/word/{kind}s.xml")
        media = f"application/vnd.openxmlformats-officedocument.wordprocessingml.{kind}s+xml"
        reltype = f"http://schemas.openxmlformats.org/officeDocument/2006/relationships/{kind}s"
        made.part.relate_to(Part(name, media, notes.encode(), made.part.package), reltype)
    made.save(str(file))
    (document,) = read(file)
    assert [(part.kind, str(part.content).strip()) for part in document.parts] == [
        ("paragraph", "The lamp costs 19 euros."),
        ("note", "Without tax; 不含税。"),
        ("paragraph", "It is made of brass."),
        ("row", "灯"),
        ("note", "Chinese for lamp."),
        ("header", "Lamp works, confidential"),
        ("header", "第一页"),
        ("footer", "Version 2.3"),
    ]
    assert document.text == "".join(str(part.content) for part in document.parts)
