/**
 * The request to end, where no signal can ask for it (Windows): only there is the route in the table, so elsewhere it is not
 * found, as the contract has it. It needs what every route needs; on the TCP port that is the token.
 */
import type { Routes } from './routes.ts';

export const stopPath = '/v1/stop';

export function stopRoutes(signalsAreRequests: boolean, stop: () => void): Routes {
  if (signalsAreRequests) {
    return {};
  }
  return {
    [`POST ${stopPath}`]: {
      answer: () => {
        stop();
        return { status: 202, body: { ok: true } };
      },
    },
  };
}
