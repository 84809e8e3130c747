/** What a mesh daemon is told by its command line and its environment (spec mesh.md §2, §3.4, §4). */
import { printable } from '../../base/printable.ts';
import { type ClonePolicy, clonePolicies } from './host-fingerprint.ts';
import { exitCodes, MeshRefusal } from './refusal.ts';

export interface MeshSettings {
  /** The mesh that was asked for; `undefined`: the only one. */
  readonly slug: string | undefined;
  /** How this daemon is to be called in the mesh; `undefined`: as `config.json` has it. */
  readonly displayName: string | undefined;
  /** `undefined`: no TCP port is opened. */
  readonly tcpPort: number | undefined;
  readonly publicHealth: boolean;
  readonly clonePolicy: ClonePolicy;
}

export interface UpFlags {
  readonly mesh?: string | undefined;
  readonly name?: string | undefined;
  readonly tcp?: boolean | undefined;
  readonly 'no-tcp'?: boolean | undefined;
  readonly 'public-health'?: boolean | undefined;
  readonly 'clone-policy'?: string | undefined;
}

const defaultPort = 47_823;
const portVariable = 'CLAUDEMESH_DAEMON_TCP_PORT';

/** @param hasContainerFiles what the host's files say @throws MeshRefusal */
export function meshSettings(
  flags: UpFlags,
  environment: NodeJS.ProcessEnv,
  hasContainerFiles: () => boolean,
): MeshSettings {
  if (flags.tcp === true && flags['no-tcp'] === true) {
    throw new MeshRefusal('--tcp and --no-tcp say the opposite of each other', exitCodes.usage);
  }
  const isOpen = flags.tcp ?? (flags['no-tcp'] === true ? false : !isContainer(environment, hasContainerFiles));
  const policy = flags['clone-policy'] ?? 'refuse';
  if (!(clonePolicies as readonly string[]).includes(policy)) {
    throw new MeshRefusal(
      `--clone-policy must be ${clonePolicies.join(', ')}, not ${printable(policy)}`,
      exitCodes.usage,
    );
  }
  return {
    slug: flags.mesh,
    displayName: flags.name,
    tcpPort: isOpen ? port(environment) : undefined,
    publicHealth: flags['public-health'] ?? false,
    clonePolicy: policy as ClonePolicy,
  };
}

/** Inside a container nothing is there for whom the port would be, so by default there is none. */
function isContainer(environment: NodeJS.ProcessEnv, hasContainerFiles: () => boolean): boolean {
  return (environment.KUBERNETES_SERVICE_HOST ?? '') !== '' || environment.CONTAINER === '1' || hasContainerFiles();
}

function port({ [portVariable]: text }: NodeJS.ProcessEnv): number {
  if (text === undefined || text === '') {
    return defaultPort;
  }
  const value = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= 65_535)) {
    throw new MeshRefusal(`${portVariable} must be a port, 0 to 65535, not ${printable(text)}`, exitCodes.usage);
  }
  return value;
}
