/** `owner/repo` of a github.com remote (spec git.md §3). */

/** @returns `''` for every address that is not a canonical one */
export function githubSlug(address: string): string {
  const path = pathOnGithub(address);
  if (path === undefined) {
    return '';
  }
  const segments = path
    .replace(/\/$/, '')
    .replace(/\.git$/, '')
    .split('/');
  const [owner = '', repository = ''] = segments;
  if (segments.length !== 2 || !/^[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*$/.test(owner)) {
    return '';
  }
  if (!/^[A-Za-z0-9._][A-Za-z0-9._-]*$/.test(repository)) {
    return '';
  }
  if (repository === '.' || repository === '..' || repository.endsWith('.wiki')) {
    return '';
  }
  return `${owner}/${repository}`;
}

function pathOnGithub(address: string): string | undefined {
  const url = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(?:[^@/]*@)?([^/]*)\/(.*)$/s.exec(address);
  if (url !== null) {
    const [, scheme = '', host = '', path] = url;
    return ['https', 'http', 'ssh', 'git'].includes(scheme.toLowerCase()) && isGithub(host) ? path : undefined;
  }
  if (address.includes('://')) {
    return undefined;
  }
  const scp = /^(?:[^@/:]*@)?([^/:@]+):(.*)$/s.exec(address);
  return scp !== null && isGithub(scp[1] ?? '') ? scp[2] : undefined;
}

function isGithub(host: string): boolean {
  return host.toLowerCase() === 'github.com';
}
