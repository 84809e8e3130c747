/** An installation that did not come about. `message` is what `cliError` says: contract text (spec install.md §10). */
export class InstallFailure extends Error {
  override readonly name = 'InstallFailure';
}
