/** The operators' verbs by name: a first word that is one of them is no flag and no mode (spec modes.md §1). */
export const verbNames = [
  'run',
  'attach',
  'logs',
  'ps',
  'top',
  'attention',
  'answer',
  'reconcile',
  'why',
  'release',
  'status',
  'token',
  'doctor',
  'config',
  'licenses',
  'service',
  'deploy',
  'upgrade',
  'completion',
  'help',
] as const;
export type VerbName = (typeof verbNames)[number];

export function isVerb(word: string | undefined): word is VerbName {
  return (verbNames as readonly (string | undefined)[]).includes(word);
}
