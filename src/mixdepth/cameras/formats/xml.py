"""XML files, without what a document type definition can do: entities that grow or fetch other files."""

from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from mixdepth.errors import CaptureError, DamagedFile
from mixdepth.files.kinds import refuse_irregular


def parse_xml(path: Path, expected: str) -> ElementTree.Element:
    """The root of an XML file.

    Raises:
        UserError: missing, not XML, or with a document type definition; ``expected`` is named.
    """

    def refuse(*_: object) -> None:
        raise ValueError("it has a document type definition, which is not read")

    refuse_irregular(path)
    try:
        content = Path(path).read_bytes()
        checker = expat.ParserCreate()
        checker.StartDoctypeDeclHandler = refuse
        checker.Parse(content, True)
        return ElementTree.fromstring(content)  # without definitions there are no entities
    except FileNotFoundError:
        raise CaptureError(f"{path}: file not found; expected {expected}. Correct `poses.path`.") from None
    except (OSError, ValueError, LookupError, RecursionError, expat.ExpatError, ElementTree.ParseError) as error:
        raise DamagedFile(f"{path}: not a file of XML that can be read ({error}); expected {expected}.") from None
