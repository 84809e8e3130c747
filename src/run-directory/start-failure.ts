/**
 * What is said about a start that failed: our own line with number and remedy first, then the contract's reason (spec
 * modes.md §6).
 */
import { HostError, SystemCallError } from '../../platform/errors.ts';
import { isRefusedCall, reportOf } from '../base/error-texts.ts';
import { TokenError } from './token.ts';

/** The lines for the log and for the launcher's stderr. */
export function failureLines(error: unknown): string[] {
  if (error instanceof TokenError) {
    return [error.message];
  }
  if (error instanceof HostError) {
    // The failure of the pipe has the form of a log line already (spec platform.md §3).
    const reason = error.message.startsWith('[Server] ') ? error.message : `claustrum: ${error.message}`;
    return [remedyLine(error), reason].filter((line) => line !== '');
  }
  if (error instanceof SystemCallError || isRefusedCall(error)) {
    return [`claustrum: ${error.message}`];
  }
  return [`holdfast: ${reportOf(error)}`];
}

/** Our own line in front of the contract's reason, with what to do about it. */
export function remedyLine(error: HostError): string {
  if (error.remedy === '') {
    return '';
  }
  return error.message.startsWith('listen unix:') || error.message.startsWith('[Server] ')
    ? `holdfast: ${error.remedy}`
    : `holdfast: ${error.message}; ${error.remedy}`;
}
