/**
 * Archives that readers of tar do not agree about, and what Go's archive/tar says to each (go-verdicts.json). After a change
 * here the verdicts are made anew; Go is needed for that only:
 *
 *     npx node test/files/tried-archives.ts | go run test/files/go-verdicts.go > test/files/go-verdicts.json && npm run format
 */
import { createHash } from 'node:crypto';
import {
  at,
  directory,
  type EntryOptions,
  endOfArchive,
  entry,
  gnuLongName,
  pax,
  paxRecord,
  rawPax,
  tarOf,
} from './archive.ts';

/** What a file of this name holds in most of the archives. */
const content = 'hello';
const file = (options: EntryOptions = {}) => entry('a', { content, ...options });
/** One file whose header has `bytes` at an offset. */
const withRaw = (offset: number, bytes: string | Buffer, options: EntryOptions = {}) =>
  tarOf(file({ ...options, raw: { [offset]: bytes } }));
const withSum = (checksum: NonNullable<EntryOptions['checksum']>, options: EntryOptions = {}) =>
  tarOf(file({ checksum, ...options }));
const withPax = (text: string | Buffer, type?: string) => tarOf(rawPax(text, type), file());
const withRecord = (key: string, value: string | Buffer) => tarOf(pax({ [key]: value }), file());
const octal = (sum: number, digits: number) => sum.toString(8).padStart(digits, '0');
const hex = (digits: string) => Buffer.from(digits, 'hex');
/** A name of the user in bytes above 127, so that the two sums differ. */
const highBytes: EntryOptions = { raw: { [at.userName]: hex('e9ff80') } };

const longName = `${'d'.repeat(120)}/${'f'.repeat(120)}`;
const longRecord = paxRecord('comment', Buffer.alloc(2000, 'c'));

/** Bytes above 127 in the names of user and group make up for all others. */
function addingUpToZero(): Buffer {
  let sum = 0;
  const take = ({ signed }: { signed: number }) => {
    sum = signed;
    return ' '.repeat(8);
  };
  withSum(take);
  const low = Buffer.alloc(Math.floor(sum / 128), 0x80);
  return withSum(take, { raw: { [at.userName]: Buffer.concat([low, Buffer.from([256 - (sum % 128)])]) } });
}

/** A file of old GNU's sparse type. Each piece is offset and length. */
function oldSparse(
  pieces: readonly (readonly [number, number])[],
  realSize: number,
  options: EntryOptions = {},
): Buffer {
  const numbers = pieces.map((piece) => piece.map((number) => `${octal(number, 11)}\0`).join('')).join('');
  const raw = { [at.oldSparseMap]: numbers, [at.realSize]: `${octal(realSize, 11)}\0`, ...options.raw };
  return entry('sparse', { type: 'S', format: 'gnu', content, ...options, raw });
}

/** A file in GNU's sparse format 1.0: the map stands in front of the content. */
function sparse10(map: string, stored: string, records: Record<string, string>): Buffer {
  const block = Buffer.alloc(Math.ceil(map.length / 512) * 512);
  block.write(map);
  const head = pax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.name': 'sparse', ...records });
  return tarOf(
    head,
    entry('GNUSparseFile.0/sparse', { content: Buffer.concat([block, Buffer.from(stored)]) }),
    entry('next'),
  );
}

/** A file in GNU's sparse format 0.1: the map stands in one record. */
function sparse01(map: string, count: string, stored: string, records: Record<string, string> = {}): Buffer {
  const head = pax({
    'GNU.sparse.size': '12',
    'GNU.sparse.numblocks': count,
    'GNU.sparse.name': 'sparse',
    'GNU.sparse.map': map,
    ...records,
  });
  return tarOf(head, entry('GNUSparseFile.0/sparse', { content: stored }), entry('next'));
}

/** A file in GNU's sparse format 0.0: the map is repeated records. */
function sparse00(records: readonly (readonly [string, string])[], stored = content): Buffer {
  const head = records.map(([key, value]) => paxRecord(`GNU.sparse.${key}`, Buffer.from(value)));
  return tarOf(rawPax(Buffer.concat(head)), entry('sparse', { content: stored }), entry('next'));
}

/** By what is odd about them. */
export const triedArchives: Readonly<Record<string, Buffer>> = {
  // Sums
  'a sum of six digits, NUL, space': tarOf(file()),
  'a sum of signed bytes, as the tar of SunOS made it': withSum(({ signed }) => `${octal(signed, 6)}\0 `, highBytes),
  'a sum of unsigned bytes over bytes above 127': withSum(({ unsigned }) => `${octal(unsigned, 6)}\0 `, highBytes),
  'a sum of eight digits without an end': withSum(({ unsigned }) => octal(unsigned, 8)),
  'a sum of seven digits and a NUL': withSum(({ unsigned }) => `${octal(unsigned, 7)}\0`),
  'a sum of seven digits and a space': withSum(({ unsigned }) => `${octal(unsigned, 7)} `),
  'a sum of six digits, space, NUL': withSum(({ unsigned }) => `${octal(unsigned, 6)} \0`),
  'a sum of six digits and two NULs': withSum(({ unsigned }) => `${octal(unsigned, 6)}\0\0`),
  'a sum of six digits and two spaces': withSum(({ unsigned }) => `${octal(unsigned, 6)}  `),
  'a sum with spaces in front': withSum(({ unsigned }) => `  ${unsigned.toString(8)}\0 `),
  'a sum with NULs in front': withSum(({ unsigned }) => `\0\0${unsigned.toString(8)}\0 `),
  'a sum with spaces and NULs mixed around it': withSum(({ unsigned }) => ` \0${unsigned.toString(8)} \0`),
  'a sum with a NUL and junk behind it': withSum(({ unsigned }) => `${unsigned.toString(8)}\0xy`),
  'a sum with a space and junk behind it': withSum(({ unsigned }) => `${unsigned.toString(8)} xy`),
  'a sum with a space inside': withSum(
    ({ unsigned }) => `${octal(unsigned, 6).slice(0, 3)} ${octal(unsigned, 6).slice(3)}\0`,
  ),
  'a sum with an eight as digit': withSum(() => '0000008\0'),
  'a sum with a sign': withSum(({ unsigned }) => `+${octal(unsigned, 6)}\0`),
  'a sum that is one too high': withSum(({ unsigned }) => `${octal(unsigned + 1, 6)}\0 `),
  'a sum of blanks only': withSum(() => '        '),
  'a sum of blanks over signed bytes that add up to zero': addingUpToZero(),
  'a sum in base 256': withSum(
    ({ unsigned }) => `\x80\0\0\0\0\0${String.fromCharCode(unsigned >> 8, unsigned & 0xff)}`,
  ),

  // Sizes
  'a size of twelve digits': withRaw(at.size, '000000000005'),
  'a size with spaces around it': withRaw(at.size, '          5 '),
  'a size with a space and a NUL behind it': withRaw(at.size, '0000000005 \0'),
  'a size with trailing junk': withRaw(at.size, '00000005junk'),
  'a size with junk behind a NUL': withRaw(at.size, '0000005\0junk'),
  'a size with junk behind NUL and space': withRaw(at.size, '000005\0 junk'),
  'a size with an eight as digit': withRaw(at.size, '00000000008\0'),
  'a size with a minus': withRaw(at.size, '-0000000005\0'),
  'a size in hexadecimal': withRaw(at.size, '0x000000005\0'),
  'a size of blanks': tarOf(entry('a', { size: Buffer.alloc(12, ' ') })),
  'a size of NULs': tarOf(entry('a', { size: Buffer.alloc(12) })),
  'a size in base 256': withRaw(at.size, hex('800000000000000000000005')),
  'a size in base 256 with a bit of the sign byte set': withRaw(at.size, hex('a00000000000000000000005')),
  'a negative size in base 256': withRaw(at.size, hex('fffffffffffffffffffffffb')),
  'the largest size there is, without the content': withRaw(at.size, hex('800000007fffffffffffffff')),
  'a size in base 256 that overflows': withRaw(at.size, hex('800000008000000000000000')),
  'a size in base 256 that overflows its field': withRaw(at.size, hex('bfffffffffffffffffffffff')),
  'the lowest size there is': withRaw(at.size, hex('ffffffff8000000000000000')),
  'a folder with a size': tarOf(entry('d/', { type: '5', size: 4096 }), file()),
  'a folder with a negative size': tarOf(entry('d/', { type: '5', size: Buffer.alloc(12, 0xff) }), file()),
  'a hard link with a size': tarOf(entry('l', { type: '1', link: 'a', size: 512 }), file()),
  'an old folder of type NUL with a negative size': tarOf(entry('d/', { type: '\0', size: Buffer.alloc(12, 0xff) })),

  // Other numbers
  'a mode of 0000999': withRaw(at.mode, '0000999\0'),
  'a mode of eight digits': withRaw(at.mode, '00000755'),
  'a mode with the kind of file in it': withRaw(at.mode, '0100755\0'),
  'a mode of spaces': withRaw(at.mode, '        '),
  'a mode with trailing junk': withRaw(at.mode, '0644 x\0\0'),
  'a mode in base 256': withRaw(at.mode, hex('80000000000001ed')),
  'a negative mode in base 256': withRaw(at.mode, hex('ffffffffffffffff')),
  'text in the user id': withRaw(at.userId, 'nobody\0\0'),
  'a user id with a minus': withRaw(at.userId, '-000001\0'),
  'a user id of NULs': withRaw(at.userId, Buffer.alloc(8)),
  'a user id in base 256': withRaw(at.userId, hex('8000000100000000')),
  'text in the group id': withRaw(at.groupId, 'wheel\0\0\0'),
  'text in the time': withRaw(at.time, 'yesterday\0\0\0'),
  'a time before 1970 in base 256': withRaw(at.time, hex('ffffffffffffffffffffffff')),
  'a time that overflows in base 256': withRaw(at.time, hex('80ffffffffffffffffffffff')),
  'junk in the number of the device': withRaw(at.deviceMajor, 'junk\0\0\0\0'),
  'junk where ustar has the number of the device, in v7': withRaw(at.deviceMajor, 'junk\0\0\0\0', { format: 'v7' }),
  'junk in the number of the device, in GNU': withRaw(at.deviceMajor, 'junk\0\0\0\0', { format: 'gnu' }),

  // Layouts
  'v7 without a magic': tarOf(file({ format: 'v7', prefix: 'unused' })),
  'a magic of GNU': tarOf(file({ format: 'gnu' })),
  'a magic of GNU with the version of ustar': withRaw(at.magic, 'ustar 00', { prefix: 'unused' }),
  'a magic of ustar with another version': withRaw(at.magic, 'ustar\x0099', { prefix: 'pre' }),
  'a magic of ustar in capitals': withRaw(at.magic, 'USTAR\x0000', { prefix: 'unused' }),
  'a prefix of ustar': tarOf(file({ prefix: 'pre/fix' })),
  'a prefix of ustar with a slash at its end': tarOf(file({ prefix: 'pre/' })),
  'a prefix of ustar that fills its field': tarOf(file({ prefix: `${'p'.repeat(77)}/${'q'.repeat(77)}` })),
  'a name that fills its field': tarOf(entry('n'.repeat(100), { content })),
  'star with times': tarOf(file({ format: 'star', prefix: 'pre', raw: { 476: '00000000001\0', 488: '00000000002 ' } })),
  'star with text for a time': tarOf(file({ format: 'star', raw: { 476: 'yesterday\0\0\0' } })),
  'GNU with times': tarOf(file({ format: 'gnu', raw: { 345: '00000000001\0', 357: '00000000002\0' } })),
  'GNU with a prefix where its times are, as Go before 1.8 wrote it': tarOf(file({ format: 'gnu', prefix: 'pre/fix' })),
  'GNU with a prefix of digits where its times are': tarOf(file({ format: 'gnu', prefix: '0123' })),
  'GNU with a prefix that is not ASCII': tarOf(file({ format: 'gnu', prefix: 'prä' })),

  // Types
  ...Object.fromEntries(
    [...'\x00012345678ADEIMNVXZaz\xe9'].map((type) => [
      `type ${JSON.stringify(type)}`,
      tarOf(entry('a', { content: type === '0' || type === '\0' ? content : '', type, link: 'b' }), entry('next')),
    ]),
  ),
  'type NUL with a slash at the end of its name': tarOf(entry('d/', { type: '\0', format: 'v7' }), file()),
  'type NUL with a slash at the end of its PAX name': tarOf(pax({ path: 'd/' }), entry('a', { type: '\0' }), file()),
  'type 0 with a slash at the end of its name': tarOf(entry('d/', { content }), entry('b')),
  'a FIFO that tells a size': tarOf(entry('f', { type: '6', size: 1_000_000 }), file()),

  // Names
  'a name that is not UTF-8': tarOf(entry(Buffer.from('f\xff\xc3(', 'latin1'), { content })),
  'a name with a NUL and junk behind it': tarOf(entry('a\0junk', { content })),
  'an empty name of a file': tarOf(entry('', { content })),
  'an empty name of a folder': tarOf(directory(''), file()),
  'a long name in the way of GNU': tarOf(gnuLongName(longName), file({ format: 'gnu' })),
  'a long name without a NUL at its end': tarOf(entry('././@LongLink', { type: 'L', content: longName }), file()),
  'an empty long name': tarOf(gnuLongName(''), file()),
  'a long name with a NUL inside': tarOf(gnuLongName('b\0c'), file()),
  'two long names': tarOf(gnuLongName('b'), gnuLongName('c'), file()),
  'a long name and an empty one behind it': tarOf(gnuLongName('b'), gnuLongName(''), file()),
  'a long name and a PAX name': tarOf(pax({ path: 'c' }), gnuLongName('b'), file()),
  'a long name of 1 MiB and nothing behind it': Buffer.concat([
    gnuLongName(Buffer.alloc(1_048_575, 'n')),
    endOfArchive,
  ]),
  'a long name of more than 1 MiB': tarOf(gnuLongName(Buffer.alloc(1_048_576, 'n')), file()),
  'a long name of more than 1 MiB that is cut': entry('L', { type: 'L', content: 'n'.repeat(2000), size: 2_000_000 }),
  'a long name with a negative size': tarOf(entry('L', { type: 'L', size: Buffer.alloc(12, 0xff) }), file()),
  'a long name of a link': tarOf(entry('K', { type: 'K', content: longName }), file()),
  'a long name of a link that is too long': tarOf(entry('K', { type: 'K', content: Buffer.alloc(1_048_577) }), file()),
  'a long name with nothing behind it': gnuLongName('b'),
  'a long name whose padding is cut': gnuLongName('b').subarray(0, 700),

  // PAX records
  'a PAX name': withRecord('path', 'b'),
  'a PAX name that is not UTF-8': withRecord('path', Buffer.from('b\xff', 'latin1')),
  'a PAX name with a line end': withRecord('path', 'b\nc'),
  'a PAX name with an equals sign': withRecord('path', 'b=c'),
  'an empty PAX name': withRecord('path', ''),
  'a PAX name and an empty one behind it': withPax('10 path=b\n8 path=\n'),
  'a PAX name with a NUL': withRecord('path', 'b\0c'),
  'a PAX name of a link with a NUL': withRecord('linkpath', 'b\0c'),
  'a PAX name of a user with a NUL': withRecord('uname', 'b\0c'),
  'a PAX name of a group with a NUL': withRecord('gname', 'b\0c'),
  'a PAX comment with a NUL': withRecord('comment', 'b\0c'),
  'a PAX key with a NUL': withRecord('com\0ment', 'b'),
  'a PAX key with a NUL in front of a known one': withRecord('\0path', 'b'),
  'a PAX key that is empty': withPax('6 =ab\n'),
  'a PAX key that nobody knows': withRecord('ANY.thing', 'b'),
  'a PAX record without an equals sign': withPax('9 path-b\n'),
  'a PAX record without a line end': withPax('9 path=ab'),
  'a PAX record that is too short for its text': withPax('8 path=b\n'),
  'a PAX record that is longer than the header': withPax('99 path=b\n'),
  'a PAX record with a length of zero': withPax('0 path=b\n'),
  'a PAX record with a length of four': withPax('4 a\n'),
  'a PAX record of the least length': withPax('5 k=\n'),
  'a PAX record with leading zeros in its length': withPax('0012 path=b\n'),
  'a PAX record with thirty zeros in front of its length': withPax(`${'0'.repeat(30)}40 path=b\n`),
  'a PAX record with a plus in front of its length': withPax('+11 path=b\n'),
  'a PAX record with a minus in front of its length': withPax('-10 path=b\n'),
  'a PAX record with a huge length': withPax('99999999999999999999 path=b\n'),
  'a PAX record with a length that is no number': withPax('ten path=b\n'),
  'a PAX record with a space in front': withPax(' 10 path=b\n'),
  'a PAX record with two spaces behind its length': withPax('11  path=b\n'),
  'a PAX record with a tab behind its length': withPax('10\tpath=b\n'),
  'a PAX header with NULs behind its records': withPax('10 path=b\n\0\0'),
  'a PAX header with junk behind its records': withPax('10 path=b\njunk'),
  'an empty PAX header': withPax(''),
  'a PAX record that comes twice': withPax('10 path=b\n10 path=c\n'),
  'two PAX headers': tarOf(pax({ path: 'b', size: '5' }), pax({ mtime: '1' }), file()),
  'a PAX size larger than the header says': tarOf(pax({ size: '5' }), entry('a', { content, size: 2 })),
  'a PAX size smaller than the header says': tarOf(pax({ size: '2' }), file(), entry('b')),
  'a PAX size with a plus': withRecord('size', '+5'),
  'a PAX size with leading zeros': withRecord('size', '0005'),
  'a PAX size that is negative': withRecord('size', '-5'),
  'a PAX size that is negative, of a folder': tarOf(pax({ size: '-5' }), directory('d/'), file()),
  'a PAX size with junk': withRecord('size', '5x'),
  'a PAX size with a fraction': withRecord('size', '5.0'),
  'a PAX size with an exponent': withRecord('size', '1e3'),
  'a PAX size with underscores': withRecord('size', '0_5'),
  'a PAX size with a space in front': withRecord('size', ' 5'),
  'a PAX size of 2^63': withRecord('size', '9223372036854775808'),
  'a PAX size of 2^63 - 1, without the content': withRecord('size', '9223372036854775807'),
  'an empty PAX size': withRecord('size', ''),
  'a PAX size behind a header with a negative size': tarOf(
    pax({ size: '5' }),
    entry('a', { content, size: Buffer.alloc(12, 0xff) }),
  ),
  'a PAX user id that is no number': withRecord('uid', 'nobody'),
  'a PAX user id that is negative': withRecord('uid', '-2'),
  'a PAX user id with a NUL': withRecord('uid', '1\0'),
  'a PAX group id that overflows': withRecord('gid', '9223372036854775808'),
  'a PAX time with a fraction': withRecord('mtime', '1.5'),
  'a PAX time before 1970': withRecord('atime', '-1.5'),
  'a PAX time with a fraction of twenty digits': withRecord('ctime', `1.${'5'.repeat(20)}`),
  'a PAX time with a dot at its end': withRecord('mtime', '1.'),
  'a PAX time without seconds': withRecord('mtime', '.5'),
  'a PAX time with two dots': withRecord('mtime', '1.5.2'),
  'a PAX time with a sign in its fraction': withRecord('atime', '1.-5'),
  'a PAX time that is text': withRecord('ctime', 'yesterday'),
  'an extended attribute with NULs': withRecord('SCHILY.xattr.user.x', '\0\xff\0'),
  'a PAX header of more than 1 MiB': tarOf(pax({ comment: 'c'.repeat(1_048_576) }), file()),
  'a PAX header of more than a block': withPax(Buffer.concat([longRecord, paxRecord('path', Buffer.from('b'))])),
  'a PAX header with nothing behind it': pax({ path: 'b' }),
  'a PAX header that is cut': pax({ path: 'b' }).subarray(0, 515),
  'a PAX header with text in the time of its block': tarOf(
    entry('x', { type: 'x', content: '10 path=b\n', raw: { [at.time]: 'yesterday\0\0\0' } }),
    file(),
  ),
  'a PAX header in capitals, as Solaris wrote it': tarOf(entry('X', { type: 'X', content: '10 path=b\n' }), file()),

  // Global PAX headers
  'a global PAX header, as git archive writes it': tarOf(pax({ comment: '0123abc' }, 'g'), file()),
  'a global PAX header with a name': tarOf(pax({ path: 'b' }, 'g'), file()),
  'an empty global PAX header': withPax('', 'g'),
  'a global PAX header with a broken record': withPax('99 comment=b\n', 'g'),
  'a global PAX header with a time that is text': tarOf(pax({ mtime: 'yesterday' }, 'g'), file()),
  'a global PAX header of more than 1 MiB': tarOf(pax({ comment: 'c'.repeat(1_048_576) }, 'g'), file()),
  'a global PAX header that is cut': pax({ comment: 'b' }, 'g').subarray(0, 515),

  // Sparse files
  'old sparse': tarOf(oldSparse([[0, 5]], 5), entry('next')),
  'old sparse in a layout that is not GNU': tarOf(oldSparse([[0, 5]], 5, { format: 'ustar' })),
  'old sparse with pieces out of order': tarOf(
    oldSparse(
      [
        [6, 2],
        [0, 2],
      ],
      8,
    ),
  ),
  'old sparse with a piece beyond the end': tarOf(oldSparse([[6, 5]], 8)),
  'old sparse with text in its map': tarOf(oldSparse([], 8, { raw: { [at.oldSparseMap]: 'junkjunkjunk' } })),
  'old sparse with text for its size': tarOf(oldSparse([[0, 5]], 5, { raw: { [at.realSize]: 'junkjunkjunk' } })),
  'old sparse with a map that goes on': tarOf(
    Buffer.concat([
      oldSparse(
        [
          [0, 1],
          [2, 1],
          [4, 1],
          [6, 1],
        ],
        10,
        { content: '', size: 5, raw: { [at.oldSparseMore]: '\x01' } },
      ),
      Buffer.concat([Buffer.from(`${octal(8, 11)}\0${octal(1, 11)}\0`), Buffer.alloc(488)]),
      Buffer.concat([Buffer.from('abcde'), Buffer.alloc(507)]),
    ]),
    entry('next'),
  ),
  'old sparse with a map that goes on and is cut': oldSparse([[0, 5]], 5, {
    content: '',
    raw: { [at.oldSparseMore]: '\x01' },
  }),
  'sparse 0.0': sparse00([
    ['size', '12'],
    ['numblocks', '2'],
    ['offset', '2'],
    ['numbytes', '3'],
    ['offset', '8'],
    ['numbytes', '2'],
  ]),
  'sparse 0.0 with a length in front of its offset': sparse00([
    ['size', '12'],
    ['numblocks', '1'],
    ['numbytes', '3'],
    ['offset', '2'],
  ]),
  'sparse 0.0 with two offsets': sparse00([
    ['size', '12'],
    ['numblocks', '1'],
    ['offset', '2'],
    ['offset', '2'],
  ]),
  'sparse 0.0 with a comma in a number': sparse00([
    ['size', '12'],
    ['numblocks', '1'],
    ['offset', '2,3'],
    ['numbytes', '2'],
  ]),
  'sparse 0.0 with a wrong count': sparse00([
    ['size', '12'],
    ['numblocks', '2'],
    ['offset', '2'],
    ['numbytes', '5'],
  ]),
  'sparse 0.1': sparse01('2,3,8,2', '2', content),
  'sparse 0.1 with its version': sparse01('2,3,8,2', '2', content, {
    'GNU.sparse.major': '0',
    'GNU.sparse.minor': '1',
  }),
  'sparse 0.1 that is one hole': sparse01('', '0', '', { 'GNU.sparse.major': '0', 'GNU.sparse.minor': '1' }),
  'sparse 0.1 with empty pieces': sparse01('0,0,2,5,7,0,12,0', '4', content),
  'sparse 0.1 with pieces that touch': sparse01('2,3,5,2', '2', content),
  'sparse 0.1 with pieces that overlap': sparse01('2,3,4,2', '2', content),
  'sparse 0.1 with a piece beyond the end': sparse01('2,3,11,2', '2', content),
  'sparse 0.1 with a negative offset': sparse01('-2,5', '1', content),
  'sparse 0.1 with a negative length': sparse01('5,-2', '1', content),
  'sparse 0.1 with text in its map': sparse01('two,5', '1', content),
  'sparse 0.1 with an odd map': sparse01('2,3,8', '1', content),
  'sparse 0.1 with a count that is no number': sparse01('2,5', 'one', content),
  'sparse 0.1 with a negative count': sparse01('2,5', '-1', content),
  'sparse 0.1 without a count': sparse01('2,5', '', content),
  'sparse 0.1 with pieces that are not stored': sparse01('2,3,8,4', '2', content),
  'sparse 0.1 with more stored than its pieces': sparse01('2,3', '1', content),
  'sparse 0.1 with a size that is no number': sparse01('2,5', '1', content, { 'GNU.sparse.size': 'x' }),
  'sparse 0.1 with a negative size': sparse01('', '0', '', {
    'GNU.sparse.size': '-1',
    'GNU.sparse.minor': '1',
    'GNU.sparse.major': '0',
  }),
  'sparse 0.1 without a size': sparse01('0,5', '1', content, { 'GNU.sparse.size': '' }),
  'sparse 0.1 without a name': sparse01('2,5', '1', content, { 'GNU.sparse.name': '' }),
  'sparse 0.1 of a folder': tarOf(pax({ 'GNU.sparse.numblocks': '1', 'GNU.sparse.map': '0,0' }), directory('d/')),
  'sparse 0.1 whose content is cut': sparse01('2,3,8,2', '2', content).subarray(0, 3 * 512 + 3),
  'sparse 1.0': sparse10('2\n2\n3\n8\n2\n', content, { 'GNU.sparse.realsize': '12' }),
  'sparse 1.0 that is one hole': sparse10('0\n', '', { 'GNU.sparse.realsize': '12' }),
  'sparse 1.0 with a map of many blocks': sparse10(
    `300\n${Array.from({ length: 300 }, (_, index) => `${index * 4}\n1\n`).join('')}`,
    'x'.repeat(300),
    { 'GNU.sparse.realsize': '1200' },
  ),
  'sparse 1.0 with text in its map': sparse10('1\ntwo\n5\n', content, { 'GNU.sparse.realsize': '12' }),
  'sparse 1.0 with a negative count': sparse10('-1\n', content, { 'GNU.sparse.realsize': '12' }),
  'sparse 1.0 with a huge count': sparse10('4611686018427387904\n', content, { 'GNU.sparse.realsize': '12' }),
  'sparse 1.0 with a count larger than its map': sparse10('9\n2\n5\n', content, { 'GNU.sparse.realsize': '12' }),
  'sparse 1.0 with a map that never ends': sparse10('1'.repeat(1_048_577), '', { 'GNU.sparse.realsize': '12' }),
  'sparse 1.0 with content of less than a block': tarOf(
    pax({ 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '5' }),
    entry('sparse', { content: '1\n0\n5\n' }),
  ),
  'sparse in a version nobody knows': tarOf(pax({ 'GNU.sparse.major': '2', 'GNU.sparse.minor': '0' }), file()),
  'sparse with half a version': tarOf(pax({ 'GNU.sparse.major': '1' }), file()),

  // Ends
  'nothing at all': Buffer.alloc(0),
  'one zero block': Buffer.alloc(512),
  'two zero blocks': endOfArchive,
  'two zero blocks with another archive behind them': Buffer.concat([tarOf(file()), tarOf(entry('never'))]),
  'one zero block with another entry behind it': Buffer.concat([file(), Buffer.alloc(512), entry('b')]),
  'one zero block at the end': Buffer.concat([file(), Buffer.alloc(512)]),
  'one zero block and half a block behind it': Buffer.concat([file(), Buffer.alloc(700)]),
  'no zero block at the end': file(),
  'two zero blocks and garbage behind them': Buffer.concat([tarOf(file()), Buffer.alloc(100, 'x')]),
  'a header that is cut': Buffer.concat([file(), entry('b').subarray(0, 300)]),
  'content that is cut': file().subarray(0, 514),
  'padding that is cut': file().subarray(0, 600),
  'padding that is missing': file().subarray(0, 517),
  'padding that is not zero': Buffer.concat([
    file().subarray(0, 517),
    Buffer.alloc(507, 'x'),
    entry('b'),
    endOfArchive,
  ]),
  'a block of text': Buffer.alloc(600, 'x'),
  'less than a block': Buffer.alloc(100, 'x'),
};

export function checksumOf(archive: Buffer): string {
  return createHash('sha256').update(archive).digest('hex').slice(0, 16);
}

if (import.meta.main) {
  for (const [title, archive] of Object.entries(triedArchives)) {
    console.log(JSON.stringify({ title, checksum: checksumOf(archive), archive: archive.toString('base64') }));
  }
}
