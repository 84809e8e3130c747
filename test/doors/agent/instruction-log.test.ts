import { describe } from 'vitest';
import { instructionLogContract } from './instruction-log.contract.ts';

describe('what became of instructions', instructionLogContract);
