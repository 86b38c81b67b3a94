//! People files in the format of LFW.

use std::collections::HashMap;
use std::path::Path;

use super::CatalogueError;

/// The people that a file in LFW's format names.
///
/// One set (`peopleDevTrain.txt`): the number of people, then a line `name<TAB>number of images` for each.
/// Several sets (`people.txt`): the number of sets, then each set as above; the sets are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct People {
    /// In the file's order.
    pub people: Vec<Person>,
}

/// One line of a people file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The name, which is also the name of the folder.
    pub name: String,
    /// How many images of this person there are in LFW.
    pub images: usize,
    /// The line, from 1.
    pub line: usize,
}

impl People {
    /// Reads the people file at `path`.
    ///
    /// # Errors
    /// A file that cannot be read, a line of another form, other numbers of people than stated, a name twice.
    pub fn read(path: &Path) -> Result<Self, CatalogueError> {
        let text = fs_err::read_to_string(path).map_err(|source| CatalogueError::unreadable(path, source))?;
        Self::parse(&text).map_err(|(line, problem)| CatalogueError::Line {
            path: path.to_owned(),
            line,
            problem,
        })
    }

    /// The same from text; an error is a line, from 1, and a problem.
    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut lines = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty())
            .peekable();
        let (first, head) = lines.next().ok_or((1, "the file is empty".to_owned()))?;
        let number = |line: usize, text: &str| {
            text.parse::<usize>().map_err(|_| (line, format!("a number of people is expected: {text}")))
        };
        let count = number(first, head)?;
        let several = lines.peek().is_some_and(|(_, line)| !line.contains(char::is_whitespace));

        let mut people = Vec::new();
        let mut seen = HashMap::new();
        for set in 0..if several { count } else { 1 } {
            let (stated_at, stated) = if several {
                let missing = || (first, format!("{count} sets of people stated, {set} found"));
                let (line, text) = lines.next().ok_or_else(missing)?;
                (line, number(line, text)?)
            } else {
                (first, count)
            };
            for found in 0..stated {
                let short = || (stated_at, format!("{stated} people stated, {found} found"));
                let (line, text) = lines.next().ok_or_else(short)?;
                let entry = text.rsplit_once(char::is_whitespace);
                let person = entry.and_then(|(name, images)| {
                    Some(Person { name: name.trim_end().to_owned(), images: images.parse().ok()?, line })
                });
                let form = || (line, format!("a name, a tab and a number of images are expected: {text}"));
                let person = person.ok_or_else(form)?;
                if let Some(earlier) = seen.insert(person.name.clone(), line) {
                    return Err((line, format!("named before, in line {earlier}: {}", person.name)));
                }
                people.push(person);
            }
        }
        match lines.next() {
            Some((line, text)) => Err((line, format!("more lines than the head of the file states: {text}"))),
            None => Ok(Self { people }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::People;

    fn names(text: &str) -> Result<Vec<String>, (usize, String)> {
        People::parse(text).map(|file| file.people.into_iter().map(|person| person.name).collect())
    }

    #[test]
    fn one_set_and_several_sets_are_told_apart() {
        assert_eq!(names("2\nAnn\t3\nBob\t1\n").unwrap(), ["Ann", "Bob"]);
        assert_eq!(names("2\r\n1\r\nAnn\t3\r\n2\r\nBob\t1\r\nCid\t7\r\n").unwrap(), ["Ann", "Bob", "Cid"]);
    }

    #[test]
    fn a_count_that_does_not_hold_is_an_error_with_its_line() {
        for (text, line) in [
            ("", 1),
            ("people\nAnn\t3\n", 1),
            ("3\nAnn\t3\nBob\t1\n", 1),
            ("1\nAnn\t3\nBob\t1\n", 3),
            ("2\n1\nAnn\t3\n", 1),
            ("1\n2\nAnn\t3\n", 2),
            ("2\nAnn\t3\nBob\tmany\n", 3),
            ("2\nAnn\t3\nAnn\t3\n", 3),
        ] {
            assert_eq!(names(text).unwrap_err().0, line, "{text:?}");
        }
    }
}
