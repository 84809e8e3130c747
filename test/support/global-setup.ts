/** Before a run of vitest, and again before each run of its watch mode. */
import type { TestProject } from 'vitest/node';
import { bundledProgram } from './bundled-program.ts';

export default async function setup(project: TestProject): Promise<void> {
  // The workers, which start later, inherit it.
  const bundle = async (): Promise<void> => {
    process.env.HOLDFAST_TEST_BUNDLE = await bundledProgram();
  };
  await bundle();
  project.onTestsRerun(bundle);
}
