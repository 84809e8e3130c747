/** A command as the agent CLI reads it from its standard input (spec agent.md §6.2). */
import type { InputOrder } from './instruction.ts';
import type { AgentSettings } from './settings.ts';

export function inputBytes(input: InputOrder, format: AgentSettings['inputFormat']): Buffer {
  if ('raw' in input) {
    return input.raw;
  }
  if (format === 'text') {
    return Buffer.from(`${input.text}\n`);
  }
  const message = {
    type: 'user',
    message: { role: 'user', content: input.text },
    session_id: 'default',
    parent_tool_use_id: null,
  };
  return Buffer.from(`${JSON.stringify(message)}\n`);
}
