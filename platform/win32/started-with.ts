/** What this process was started with. Windows has text of UTF-16 everywhere, as Node has, so nothing is lost on the way. */
import type { StartedWith, Variable } from '../started-with.ts';

export const startedWith: StartedWith = {
  environment: () =>
    Object.entries(process.env).flatMap(([name, value]): Variable[] => (value === undefined ? [] : [[name, value]])),
  environmentOfScript: () => undefined,
  lastWords: (count) => (count === 0 ? [] : process.argv.slice(-count)),
  workingDirectory: () => process.cwd(),
};
