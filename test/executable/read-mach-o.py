"""What macOS reads of a program before it starts it, from the file alone: segments, the pointers that dyld sets, the signature.

    python3 read-mach-o.py <file>

Prints one JSON object. Written against Apple's headers (loader.h, fixup-chains.h, cs_blobs.h), and not after what makes the
signature: whatever a hash is of is hashed here again.
"""

import hashlib
import json
import plistlib
import struct
import sys

with open(sys.argv[1], "rb") as file:
    data = file.read()

LC_SEGMENT_64, LC_CODE_SIGNATURE, LC_DYLD_CHAINED_FIXUPS = 0x19, 0x1D, 0x80000034
magic, cpu, _, file_type, count, size, _, _ = struct.unpack_from("<IiiIIIII", data)
segments, linked, sections = [], {}, []
at = 32
for _ in range(count):
    command, length = struct.unpack_from("<II", data, at)
    if command == LC_SEGMENT_64:
        name = data[at + 8 : at + 24].rstrip(b"\0").decode()
        address, memory, offset, bytes_there = struct.unpack_from("<QQQQ", data, at + 24)
        segments.append({"name": name, "address": address, "memory": memory, "offset": offset, "bytes": bytes_there})
        for index in range(struct.unpack_from("<I", data, at + 64)[0]):
            start = at + 72 + 80 * index
            sections.append(data[start : start + 16].rstrip(b"\0").decode() + " " + name)
    elif command in (LC_CODE_SIGNATURE, LC_DYLD_CHAINED_FIXUPS):
        linked[command] = struct.unpack_from("<II", data, at + 8)
    at += length

fixups = linked[LC_DYLD_CHAINED_FIXUPS][0]
(starts,) = struct.unpack_from("<I", data, fixups + 4)
(fixed_segments,) = struct.unpack_from("<I", data, fixups + starts)

start, space = linked[LC_CODE_SIGNATURE]
super_magic, super_length, blob_count = struct.unpack_from(">III", data, start)
blobs = {}
for index in range(blob_count):
    place, offset = struct.unpack_from(">II", data, start + 12 + 8 * index)
    _, length = struct.unpack_from(">II", data, start + offset)
    blobs[place] = data[start + offset : start + offset + length]

directory = blobs[0]
fields = struct.unpack_from(">9I4BI", directory)
(_, _, version, flags, hashes, name_at, special, pages, limit, hash_size, hash_type, _, page_bits, _) = fields
stored = lambda slot: directory[hashes + slot * hash_size : hashes + (slot + 1) * hash_size]
page = 1 << page_bits
content = data[:limit]
wrong_pages = [
    number
    for number in range(pages)
    if hashlib.sha256(content[number * page : (number + 1) * page]).digest() != stored(number)
]
wrong_parts = [
    place
    for place in range(1, special + 1)
    if stored(-place) != (hashlib.sha256(blobs[place]).digest() if place in blobs else bytes(hash_size))
]
base, code_bytes, kind = struct.unpack_from(">QQQ", directory, 64)

print(
    json.dumps(
        {
            "header": [hex(magic), hex(cpu), file_type, at == 32 + size],
            "segments": segments,
            "sections": sections,
            "segmentsWithPointers": fixed_segments,
            "fileBytes": len(data),
            "signature": {
                "magic": hex(super_magic),
                "startsAt": start,
                "endsAt": start + space,
                "fits": super_length <= space,
                "blobs": {hex(place): blob[:4].hex() for place, blob in blobs.items()},
                "version": hex(version),
                "flags": hex(flags),
                "hash": [hash_type, hash_size, page],
                "identifier": directory[name_at : directory.index(b"\0", name_at)].decode(),
                "limit": limit,
                "pagesCoverAll": (pages - 1) * page < limit <= pages * page,
                "directoryIsWhole": len(directory) == hashes + pages * hash_size,
                "code": [base, code_bytes, kind],
                "wrongPages": wrong_pages,
                "wrongParts": wrong_parts,
                "entitlements": plistlib.loads(blobs[5][8:]) if 5 in blobs else {},
                "derEntitlements": blobs[7].hex() if 7 in blobs else "",
            },
        }
    )
)
