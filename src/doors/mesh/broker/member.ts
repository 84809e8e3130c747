/** Who we are to a broker: one entry of `meshes` in config.json (spec mesh.md §1). */
export interface Member {
  readonly meshId: string;
  readonly memberId: string;
  /** The name of the mesh on this machine. */
  readonly slug: string;
  /** 64 hex digits, ed25519. */
  readonly pubkey: string;
  /** 128 hex digits: the seed, followed by the public key. Never shown. */
  readonly secretKey: string;
  readonly brokerUrl: string;
}

/** What is wrong with an entry, without any part of the secret key; `undefined` when a broker can be asked. */
export function faultOf({ pubkey, secretKey, brokerUrl }: Member): string | undefined {
  if (!isKey(pubkey)) {
    return 'pubkey must be 64 lower-case hex digits';
  }
  if (!/^[0-9a-f]{128}$/.test(secretKey)) {
    return 'secretKey must be 128 lower-case hex digits, the seed followed by the public key';
  }
  if (secretKey.slice(64) !== pubkey) {
    return 'secretKey does not belong to pubkey: its second half must be the same 64 digits';
  }
  const url = URL.canParse(brokerUrl) ? new URL(brokerUrl) : undefined;
  if (url === undefined || !/^wss?:$/.test(url.protocol) || url.hash !== '') {
    return 'brokerUrl must be a ws:// or wss:// address without a fragment';
  }
  return undefined;
}

/** A member key as the wire has it. */
export function isKey(text: unknown): text is string {
  return typeof text === 'string' && /^[0-9a-f]{64}$/.test(text);
}
