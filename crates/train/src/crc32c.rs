//! CRC-32C (Castagnoli), the checksum of TFRecord files and of our checkpoints.

/// Reversed polynomial (RFC 3720, appendix B.4).
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// `TABLES[k][b]` advances byte `b` by `k` further zero bytes, so that eight bytes take one round.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut ahead = 1;
    while ahead < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[ahead - 1][byte];
            tables[ahead][byte] = (before >> 8) ^ tables[0][(before & 0xFF) as usize];
            byte += 1;
        }
        ahead += 1;
    }
    tables
}

/// A checksum that grows as bytes come; start with `Crc32c::default()`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Crc32c(u32);

impl Crc32c {
    /// Checksum of `bytes`.
    pub(crate) fn of(bytes: &[u8]) -> u32 {
        let mut crc = Self::default();
        crc.update(bytes);
        crc.value()
    }

    /// Takes further bytes in.
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        let mut crc = !self.0;
        let (rounds, rest) = bytes.as_chunks::<8>();
        for round in rounds {
            let word = u64::from_le_bytes(*round) ^ u64::from(crc);
            crc = 0;
            for (position, table) in TABLES.iter().rev().enumerate() {
                crc ^= table[(word >> (8 * position)) as usize & 0xFF];
            }
        }
        for &byte in rest {
            crc = (crc >> 8) ^ TABLES[0][((crc ^ u32::from(byte)) & 0xFF) as usize];
        }
        self.0 = !crc;
    }

    /// The checksum so far.
    pub(crate) fn value(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Crc32c;

    #[test]
    fn crc32c_gives_the_values_of_rfc_3720() {
        assert_eq!(Crc32c::of(b""), 0);
        assert_eq!(Crc32c::of(b"123456789"), 0xE306_9283);
        assert_eq!(Crc32c::of(&[0; 32]), 0x8A91_36AA);
        assert_eq!(Crc32c::of(&[0xFF; 32]), 0x62A8_AB43);
        let ascending: Vec<u8> = (0..32).collect();
        assert_eq!(Crc32c::of(&ascending), 0x46DD_794E);
    }

    #[test]
    fn a_checksum_in_parts_is_the_checksum_of_the_whole() {
        let bytes: Vec<u8> = (0..1000_u32).map(|i| (i * 37 % 251) as u8).collect();
        for cut in [0, 1, 7, 8, 9, 500, 999, 1000] {
            let mut crc = Crc32c::default();
            crc.update(&bytes[..cut]);
            crc.update(&bytes[cut..]);
            assert_eq!(crc.value(), Crc32c::of(&bytes));
        }
    }
}
