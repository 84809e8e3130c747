/** What a route answers: a status and the object that becomes the JSON body. The HTTP server writes it, nobody else. */
export interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export function refusal(status: number, error: string): Answer {
  return { status, body: { error } };
}
