/** Why git was not run. Each method says it in its own frame (spec git.md §9, last table). */

/** The repository, the configuration or the environment is not one git may be run on. `message` is wire text. */
export class GitRefusal extends Error {
  override readonly name = 'GitRefusal';
}

/** There is no repository, or no git to ask. */
export class NoRepository extends Error {
  override readonly name = 'NoRepository';
}
