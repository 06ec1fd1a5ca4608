import { defaultTuning } from '../../src/domain/tuning.ts';
import { mainShapes } from './main-shapes.ts';

mainShapes({ ...defaultTuning, continueEvery: 5 });
