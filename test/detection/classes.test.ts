// Which class of a model is which category of data.
import { describe, expect, test } from 'vitest';
import { matchClasses } from '../../src/detection/classes.js';
import { failure } from '../data/helpers.js';

const categories = ['person', 'traffic light', 'cat'];

describe('by name', () => {
  test('in any order, spelt with other case, spaces and hyphens', () => {
    expect(matchClasses(3, ['cat', 'Person', 'traffic-light'], categories)).toEqual([2, 0, 1]);
  });

  test('classes that the data lacks have no category', () => {
    expect(matchClasses(5, ['dog', 'cat', 'trafficlight', 'person', 'cow'], categories)).toEqual([-1, 2, 1, 0, -1]);
  });

  test('the same list with some names spelt differently', () => {
    expect(matchClasses(3, ['human', 'traffic_light', 'cat'], categories)).toEqual([0, 1, 2]);
  });

  test.each([
    [
      ['dog', 'cow', 'horse'],
      /^INVALID_OPTION: Expected the model to have the data's classes "person", "traffic light", "cat", got 3 others/,
    ],
    [['cat', 'dog', 'person'], /the data's classes "traffic light"/],
    [['person', 'cat', 'dog', 'cow'], /the data's classes "traffic light"/],
  ])('refuses %j', async (names, message) => {
    expect(await failure(() => matchClasses(names.length, names, categories))).toMatch(message);
  });
});

describe('by number', () => {
  test('where there are as many, also where names are too few to be a list', () => {
    expect(matchClasses(3, undefined, categories)).toEqual([0, 1, 2]);
    expect(matchClasses(3, ['cat'], categories)).toEqual([0, 1, 2]);
  });

  test('refuses other numbers', async () => {
    const problem = await failure(() => matchClasses(80, undefined, categories));
    expect(problem).toMatch(
      /^INVALID_OPTION: Expected the model to have as many classes as the data \(3\), got 80 without/,
    );
  });
});
