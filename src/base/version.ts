/** Who we are. A shipping build sets the time by the bundler option `--define:HOLDFAST_BUILD_TIME='"2026-...Z"'`. */

declare const HOLDFAST_BUILD_TIME: string | undefined;

/** The package's version; `server.version` and `-version` show it. A test keeps it equal to package.json. */
export const version = '0.1.0';

/** ISO 8601, or `unknown` when run from source. */
export const buildTime: string = typeof HOLDFAST_BUILD_TIME === 'string' ? HOLDFAST_BUILD_TIME : 'unknown';
