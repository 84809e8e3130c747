import type { CommandResult } from '../../base/run-command.ts';
import { combinedText, ruledText } from '../run/output-text.ts';
import type { Repository } from '../run/repository.ts';

/** The text of git that a failed creation quotes to the client (profile row `git.create.gitText`). */
export function quotedText(repository: Repository, result: CommandResult): string {
  // Git was not run because of a limit of ours, and the text names it.
  if (result.exit === undefined && result.startFailure === undefined && result.combined.length === 0) {
    return result.failure ?? '';
  }
  const rule = repository.program.services.profile.git.create.gitText;
  return rule === 'textRule' ? ruledText(result) : combinedText(result);
}
