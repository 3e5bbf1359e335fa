"""Archives made block by block, so that they can say what no packer would write; and trees to pack and unpack."""

import gzip
import io
import tarfile

from sojourn.bundle.pack import pack
from sojourn.bundle.unpack import unpack

BLOCK = 512
END = bytes(2 * BLOCK)


def header(name="app.py", size=0, kind=b"0", mode=0o644, **fields):
    """A ustar header block; `fields` replace raw bytes: `magic`, `prefix`, `size_field`, `checksum`, `link`."""
    raw = name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")
    block = bytearray(BLOCK)
    block[0 : len(raw[:100])] = raw[:100]
    block[100:108] = b"%07o\0" % mode
    block[108:116] = block[116:124] = b"0000000\0"
    block[124:136] = fields.get("size_field", b"%011o\0" % size)
    block[136:148] = b"00000000000\0"
    block[148:156] = b" " * 8
    block[156:157] = kind
    link = fields.get("link", b"")
    block[157 : 157 + len(link)] = link
    block[257:265] = fields.get("magic", b"ustar\x0000")
    prefix = fields.get("prefix", b"")
    block[345 : 345 + len(prefix)] = prefix
    block[148:156] = fields.get("checksum", b"%06o\0 " % sum(block))
    return bytes(block)


def padded(content):
    """Content up to the next block."""
    return content + bytes(-len(content) % BLOCK)


def entry(name="app.py", content=b"x = 1\n", **more):
    """A whole entry."""
    return header(name, len(content), **more) + padded(content)


def extended(record_list, kind=b"x"):
    """A pax header with these (key, value) records."""
    data = b"".join(record(key, value) for key, value in record_list)
    return entry("pax", data, kind=kind)


def record(key, value):
    """One record of a pax header; its length counts its own digits."""
    rest = b" " + key.encode() + b"=" + value.encode("utf-8", "surrogateescape") + b"\n"
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest


def zipped(*blocks, end=END):
    """A gzip archive of these blocks and the end of an archive."""
    return gzip.compress(b"".join(blocks) + end, mtime=0)


def of_files(files, form=tarfile.PAX_FORMAT):
    """An archive as the standard library writes it: name -> content."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz", format=form) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return output.getvalue()


class Trees:
    """Writes trees, packs and unpacks them."""

    def __init__(self, folder):
        self.root = folder / "tree"
        self.parent = folder / "unpacked"
        self.outside = folder / "outside"
        for path in (self.root, self.parent, self.outside):
            path.mkdir()

    def write(self, files):
        """Files by name, as text or bytes."""
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return self.root

    def pack(self, target="app.py", **more):
        """The packed tree: what is told of it, and the archive."""
        output = io.BytesIO()
        return pack(self.root, target, output, **more), output.getvalue()

    def unpack(self, archive, **more):
        """What an archive unpacks to."""
        return unpack(io.BytesIO(archive), self.parent, **more)

    def names(self, archive):
        """Names of the files of an archive, sorted."""
        return sorted(content_of(self.unpack(archive).path))


def content_of(root):
    """Name -> (content, whether it may be executed) of all files below a directory."""
    return {
        path.relative_to(root).as_posix(): (path.read_bytes(), bool(path.stat().st_mode & 0o100))
        for path in root.rglob("*")
        if path.is_file()
    }
