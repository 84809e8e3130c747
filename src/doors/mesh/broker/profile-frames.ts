/** The frames of a change of our profile; none of them is answered (spec mesh.md §5, §9.3). */
import type { ProfileChange } from './broker.ts';

export function profileFrames({ summary, status, visible, ...others }: ProfileChange): readonly object[] {
  return [
    ...(summary === undefined ? [] : [{ type: 'set_summary', summary }]),
    ...(status === undefined ? [] : [{ type: 'set_status', status }]),
    ...(visible === undefined ? [] : [{ type: 'set_visible', visible }]),
    ...(Object.keys(others).length === 0 ? [] : [{ type: 'set_profile', ...others }]),
  ];
}
