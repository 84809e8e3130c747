/** What the binding files declare, and the C++ that a compiler checks it by against the system's own headers. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface RecordedBindings {
  readonly declarations: readonly { readonly file: string; readonly name: string; readonly declaration: string }[];
  /** Numbers as decimal text. */
  readonly constants: readonly { readonly file: string; readonly name: string; readonly value: string }[];
  readonly lists: readonly { readonly file: string; readonly name: string; readonly values: readonly string[] }[];
}

const folder = fileURLToPath(new URL('../../native-bindings/', import.meta.url));

/** @param names of files in `native-bindings/` */
export function recordBindings(os: 'win32' | 'darwin' | 'linux', names: readonly string[]): RecordedBindings {
  const script = fileURLToPath(new URL('./recorded-bindings.ts', import.meta.url));
  const text = execFileSync(process.execPath, [script, os, ...names.map((name) => folder + name)], {
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  return JSON.parse(text);
}

export interface Prototype {
  readonly name: string;
  /** Bytes; 0 for `void`. */
  readonly result: number;
  /** Bytes of each argument; those behind `...` are not declared. */
  readonly parameters: readonly number[];
  readonly variadic: boolean;
}

/** Bytes of koffi's names of types, on 64-bit systems where `long` has them too (Windows bindings use none). */
const widths: Readonly<Record<string, number>> = {
  void: 0,
  bool: 1,
  short: 2,
  uint16: 2,
  int: 4,
  uint: 4,
  int32: 4,
  uint32: 4,
  int64: 8,
  uint64: 8,
  long: 8,
  ulong: 8,
  size_t: 8,
  uintptr_t: 8,
  str16: 8,
};

/** @throws Error for a declaration with a type that is not in the table */
export function parsePrototype(declaration: string): Prototype {
  const found = /^(.*?)\s*(\w+)\((.*)\)$/.exec(declaration.replace('__stdcall', ' ').replace(/\s+/g, ' '));
  if (found === null) {
    throw new Error(`not a declaration: ${declaration}`);
  }
  const [, result = '', name = '', list = ''] = found;
  const parameters = list === '' || list === 'void' ? [] : list.split(',').map((each) => each.trim());
  const variadic = parameters.at(-1) === '...';
  return {
    name,
    result: widthOf(result),
    parameters: (variadic ? parameters.slice(0, -1) : parameters).map((each) => widthOf(each.replace(/ ?\w+$/, ''))),
    variadic,
  };
}

function widthOf(type: string): number {
  const plain = type.replace(/\b(_Out_|_Inout_|const)\b/g, '').trim();
  const bytes = plain.includes('*') ? 8 : widths[plain];
  if (bytes === undefined) {
    throw new Error(`no width is known for the type "${type}"`);
  }
  return bytes;
}

/** A number of ours, and what it must equal in C. */
export interface Equality {
  readonly what: string;
  readonly ours: string;
  readonly expression: string;
}

export function assertionsFor(
  includes: readonly string[],
  equalities: readonly Equality[],
  prototypes: readonly Prototype[],
): string {
  return [
    ...includes.map((name) => `#include <${name}>`),
    '#include <cstddef>',
    '#include <tuple>',
    'template <typename T> struct Width { static constexpr std::size_t value = sizeof(T); };',
    'template <> struct Width<void> { static constexpr std::size_t value = 0; };',
    'template <typename T> struct Shape;',
    'template <typename R, typename... P> struct Shape<R(P...)> {',
    '  static constexpr std::size_t result = Width<R>::value, count = sizeof...(P);',
    '  template <std::size_t N> static constexpr std::size_t parameter = sizeof(std::tuple_element_t<N, std::tuple<P...>>);',
    '};',
    ...equalities.map(
      ({ what, ours, expression }) =>
        `static_assert((unsigned long long)(${expression}) == ${ours}ULL, "${what} is not ${ours}");`,
    ),
    ...prototypes.flatMap(({ name, result, parameters }) => {
      const shape = `Shape<decltype(${name})>`;
      return [
        `static_assert(${shape}::count == ${parameters.length}, "${name} does not have ${parameters.length} parameters");`,
        `static_assert(${shape}::result == ${result}, "the result of ${name} does not have ${result} bytes");`,
        ...parameters.map(
          (bytes, index) =>
            `static_assert(${shape}::parameter<${index}> == ${bytes}, "parameter ${index} of ${name} does not have ${bytes} bytes");`,
        ),
      ];
    }),
    '',
  ].join('\n');
}
