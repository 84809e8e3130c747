/**
 * Standard base64 as `process.stdin` takes it (spec process.md §5.1): CR and LF are skipped anywhere, padding is
 * required, bits left over in the last character are ignored.
 * @returns `undefined` for anything else: foreign characters, missing or surplus padding, text after padding
 */
export function decodeBase64(text: string): Buffer | undefined {
  const foreign = text.search(/[^A-Za-z0-9+/]/);
  if (foreign === -1) {
    return text.length % 4 === 0 ? Buffer.from(text, 'base64') : undefined;
  }
  if (/[\r\n]/.test(text)) {
    return decodeBase64(text.replace(/[\r\n]+/g, ''));
  }
  const padding = text.slice(foreign);
  // Validated here, because Node would skip foreign characters and accept the URL alphabet.
  return text.length % 4 === 0 && (padding === '=' || padding === '==') ? Buffer.from(text, 'base64') : undefined;
}
