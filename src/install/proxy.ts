/** Which proxy a request goes through, by the rules of Go's transport (spec install.md §4). */
import { BlockList, isIP, isIPv6 } from 'node:net';
import { InstallFailure } from './failure.ts';

/**
 * The proxy for `target`, `undefined` for a direct connection.
 * @param environment `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY` or the same in lower case
 * @throws InstallFailure for a proxy we cannot speak to; the text has no password
 */
export function proxyFor(target: URL, environment: NodeJS.ProcessEnv): URL | undefined {
  const host = bareHost(target);
  const port = portOf(target);
  if (isLocal(host) || isExcepted(host, port, either(environment, 'NO_PROXY'))) {
    return undefined;
  }

  const address = either(environment, target.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY');
  if (address === '') {
    return undefined;
  }
  const withScheme = /^[a-z][a-z0-9+.-]*:\/\//i.test(address) ? address : `http://${address}`;
  const proxy = URL.canParse(withScheme) ? new URL(withScheme) : undefined;
  if (proxy === undefined) {
    throw new InstallFailure('invalid proxy address');
  }
  if (proxy.protocol !== 'http:' && proxy.protocol !== 'https:') {
    throw new InstallFailure(`unsupported proxy scheme "${proxy.protocol.slice(0, -1)}": want http or https`);
  }
  return proxy;
}

/** Host as a socket wants it: an IPv6 address without its brackets. */
export function bareHost(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1');
}

export function portOf(url: URL): number {
  if (url.port !== '') {
    return Number(url.port);
  }
  return url.protocol === 'https:' ? 443 : 80;
}

function either(environment: NodeJS.ProcessEnv, name: string): string {
  return environment[name] || environment[name.toLowerCase()] || '';
}

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

function isLocal(host: string): boolean {
  return host === 'localhost' || isIn(loopback, host);
}

function isIn(list: BlockList, host: string): boolean {
  return isIP(host) !== 0 && list.check(host, isIPv6(host) ? 'ipv6' : 'ipv4');
}

/** `*`, `10.0.0.0/8`, `10.1.2.3`, `example.com` (and below), `.example.com` or `*.example.com` (below only); each with `:port`. */
function isExcepted(host: string, port: number, exceptions: string): boolean {
  return exceptions
    .split(',')
    .map((entry) => entry.trim().toLowerCase())
    .some((entry) => entry !== '' && matches(entry, host, port));
}

function matches(entry: string, host: string, port: number): boolean {
  if (entry === '*') {
    return true;
  }
  const [, network, prefix] = /^(.+)\/(\d{1,3})$/.exec(entry) ?? [];
  if (network !== undefined && isIP(network) !== 0) {
    return isInNetwork(host, network, Number(prefix));
  }

  const [, name = entry, onlyPort] = isIP(entry) === 0 ? (/^(.*?):(\d+)$/.exec(entry) ?? []) : [];
  if (onlyPort !== undefined && Number(onlyPort) !== port) {
    return false;
  }
  const bare = name.replace(/^\[(.*)\]$/, '$1');
  if (isIP(bare) !== 0) {
    return host === bare;
  }
  if (bare.startsWith('*.') || bare.startsWith('.')) {
    return host.endsWith(bare.replace(/^\*/, ''));
  }
  return host === bare || host.endsWith(`.${bare}`);
}

function isInNetwork(host: string, network: string, prefix: number): boolean {
  const family = isIPv6(network) ? 'ipv6' : 'ipv4';
  if (prefix > (family === 'ipv6' ? 128 : 32)) {
    return false;
  }
  const list = new BlockList();
  list.addSubnet(network, prefix, family);
  return isIn(list, host);
}
