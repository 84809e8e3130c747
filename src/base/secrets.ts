/**
 * Secrets are redacted by value, in whatever text they turn up: log, wire log, errors, printed settings (design
 * decision 17).
 */

const redacted = '[redacted]';

/** A shorter value protects nothing, and hiding it everywhere would make the log unreadable. */
const shortestSecret = 4;

export class Secrets {
  /** Longest first: a secret that contains another one is hidden whole. */
  #values: string[] = [];

  /**
   * Everything that goes through {@link hide} from now on is free of `secret`, also as it looks inside a JSON string.
   */
  add(secret: string): void {
    for (const value of [secret, JSON.stringify(secret).slice(1, -1)]) {
      if (value.length >= shortestSecret && !this.#values.includes(value)) {
        this.#values.push(value);
      }
    }
    this.#values.sort((a, b) => b.length - a.length);
  }

  /** `text` with `[redacted]` in place of every secret. */
  hide(text: string): string {
    let safe = text;
    for (const value of this.#values) {
      if (safe.includes(value)) {
        safe = safe.replaceAll(value, redacted);
      }
    }
    return safe;
  }
}
