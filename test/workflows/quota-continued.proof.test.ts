import { defaultTuning } from '../../src/domain/tuning.ts';
import { quotaShapes } from './quota-shapes.ts';

quotaShapes({ ...defaultTuning, continueEvery: 5 });
