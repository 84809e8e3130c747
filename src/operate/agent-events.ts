/**
 * One readable line for each event of an agent that prints JSON lines. What is not
 * such an event is shown as it is.
 */
import { printable } from '../base/printable.ts';

const textLimit = 400;

/** @param line without its line end @returns text for a terminal, one line or none for events that say nothing to a reader */
export function readableEvent(line: string): string | undefined {
  let event: unknown;
  try {
    event = JSON.parse(line);
  } catch {
    return line.trim() === '' ? undefined : short(line);
  }
  if (!isRecord(event)) {
    return short(line);
  }
  switch (event.type) {
    case 'system':
      return labelled('system', [event.subtype, event.model, event.cwd].filter(isText).join(' '));
    case 'assistant':
    case 'user':
      return message(event.type, event.message);
    case 'result':
      return labelled(
        event.is_error === true ? 'error' : 'result',
        textOf(event.result) ?? textOf(event.subtype) ?? '',
      );
    case 'control_request':
      return control(event);
    case 'control_response':
    case 'control_cancel_request':
      return labelled(String(event.type).replaceAll('_', ' '), textOf(event.request_id) ?? '');
    case 'stream_event':
      return undefined;
    default:
      return labelled(textOf(event.type) ?? 'event', short(line));
  }
}

function message(role: string, content: unknown): string | undefined {
  const parts = isRecord(content) ? content.content : undefined;
  if (isText(parts)) {
    return labelled(role, parts);
  }
  if (!Array.isArray(parts)) {
    return undefined;
  }
  const lines = parts.filter(isRecord).flatMap((part): string[] => {
    switch (part.type) {
      case 'text':
        return [labelled(role, textOf(part.text) ?? '')];
      case 'tool_use':
        return [labelled('tool', `${textOf(part.name) ?? ''} ${JSON.stringify(part.input ?? {})}`)];
      case 'tool_result':
        return [labelled(part.is_error === true ? 'tool failed' : 'tool result', contentText(part.content))];
      default:
        return [];
    }
  });
  return lines.length === 0 ? undefined : lines.join('\n');
}

function control(event: Readonly<Record<string, unknown>>): string {
  const request = isRecord(event.request) ? event.request : {};
  const asks = request.subtype === 'can_use_tool' ? 'asks to use' : (textOf(request.subtype) ?? '');
  const input = request.input === undefined ? '' : ` ${JSON.stringify(request.input)}`;
  return labelled(
    'waits',
    `${asks} ${textOf(request.tool_name) ?? ''}${input} (request ${textOf(event.request_id) ?? ''})`,
  );
}

function contentText(content: unknown): string {
  if (isText(content)) {
    return content;
  }
  return Array.isArray(content)
    ? content
        .filter(isRecord)
        .flatMap((part) => (isText(part.text) ? [part.text] : []))
        .join(' ')
    : '';
}

function labelled(label: string, text: string): string {
  return `${printable(label)}: ${short(text)}`;
}

function short(text: string): string {
  return printable(text.trim().replace(/\s+/g, ' '), textLimit);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function textOf(value: unknown): string | undefined {
  return isText(value) ? value : undefined;
}
