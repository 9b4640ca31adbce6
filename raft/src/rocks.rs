//! The RocksDB options that we rely on, each with its value and its reason. The library's
//! defaults aren't decisions, and nothing else in this crate sets an option.

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, FlushOptions,
    InfoLogger, LogLevel, Options, WriteOptions,
};

const MIB: usize = 1 << 20;
/// Bytes of blocks, indexes and filters of the state kept in memory, over all generations.
pub const STATE_CACHE_BYTES: usize = 128 * MIB;
/// Bytes of blocks of the log kept in memory: it is read behind the entry cache only.
const LOG_CACHE_BYTES: usize = 8 * MIB;
/// Bytes of blocks kept while a snapshot is looked into: it is asked for a few keys.
const INSPECT_CACHE_BYTES: usize = MIB;
/// Bytes of one memtable of the log.
const LOG_MEMTABLE_BYTES: usize = 32 * MIB;
/// Bytes of one memtable of the state.
const STATE_MEMTABLE_BYTES: usize = 32 * MIB;

/// Options of the log's database.
pub fn log_options() -> Options {
    let mut options = common();
    // `append` writes to the WAL's buffer; the sync thread writes the buffer out and fsyncs
    // it once for all appends that queued up meanwhile.
    options.set_manual_wal_flush(true);
    // A power cut may leave the unsynced tail in any shape, holes included: recovery keeps
    // the part before the first hole. That a *synced* record was not lost with it is what
    // the marker proves, at open.
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    options.set_write_buffer_size(LOG_MEMTABLE_BYTES);
    // Room for a burst while older memtables are written out.
    options.set_max_write_buffer_number(4);
    // A log is written once, read at its end and cut from its front. Files at level 0 are
    // dropped whole by the purge, so merging them early is work for nothing.
    options.set_level_zero_file_num_compaction_trigger(8);
    // Never hold up an append because compaction is behind: level 0 is read only by a peer
    // that lags far behind.
    options.set_level_zero_slowdown_writes_trigger(64);
    options.set_level_zero_stop_writes_trigger(128);
    // The log's space is reclaimed by dropping files below the purge point.
    options.set_target_file_size_base(LOG_MEMTABLE_BYTES as u64);
    let mut table = table(&Cache::new_lru_cache(LOG_CACHE_BYTES));
    // Entries are read in order, never looked up by a key that may be absent: no filter.
    table.set_block_size(32 << 10);
    options.set_block_based_table_factory(&table);
    options
}

/// Options of the state's database. `cache` is shared by the generations, so that an
/// install doesn't double it.
pub fn state_options(cache: &Cache) -> Options {
    let mut options = common();
    options.set_write_buffer_size(STATE_MEMTABLE_BYTES);
    // One being filled, two being written out.
    options.set_max_write_buffer_number(3);
    // One column family: each flush carries the Applied record of the batches in it, so
    // what is on disk is always the state at one log index.
    options.set_atomic_flush(false);
    // Levels sized from the last one: about 1.1 times the live bytes on disk.
    options.set_level_compaction_dynamic_level_bytes(true);
    options.set_target_file_size_base(64 * MIB as u64);
    options.set_max_bytes_for_level_base(256 * MIB as u64);
    let mut table = table(cache);
    table.set_block_size(8 << 10);
    // Most look-ups are for single keys, many of them absent (tombstones, dedupe records).
    table.set_bloom_filter(10.0, false);
    // Indexes and filters in pieces that the cache can drop: memory doesn't grow with the
    // state. Only the small top level stays.
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    table.set_pin_top_level_index_and_filter(true);
    options.set_block_based_table_factory(&table);
    options
}

/// Options to look into a snapshot folder, read-only.
pub fn inspect_options() -> Options {
    let mut options = common();
    options.create_if_missing(false);
    // Few files open, a small cache: looking into a snapshot of any size stays cheap.
    options.set_max_open_files(16);
    options.set_max_file_opening_threads(1);
    let mut table = table(&Cache::new_lru_cache(INSPECT_CACHE_BYTES));
    table.set_bloom_filter(10.0, false);
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    options.set_block_based_table_factory(&table);
    options
}

/// How the log is written: to the WAL's buffer; the sync thread makes it durable.
pub fn log_write() -> WriteOptions {
    let mut write = WriteOptions::default();
    write.set_sync(false);
    write
}

/// How the state is written: without a WAL, because the raft log is its WAL. It refuses
/// instead of waiting where RocksDB would hold the writer up, so that apply can wait
/// elsewhere than on the runtime.
pub fn state_write() -> WriteOptions {
    let mut write = WriteOptions::default();
    write.disable_wal(true);
    write.set_no_slowdown(true);
    write
}

/// The same, but it waits: for threads that may block.
pub fn state_write_waiting() -> WriteOptions {
    let mut write = WriteOptions::default();
    write.disable_wal(true);
    write
}

/// A flush that is durable when it returns, and doesn't wait for a quieter moment.
pub fn flush_now() -> FlushOptions {
    let mut flush = FlushOptions::default();
    flush.set_wait(true);
    flush
}

fn common() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    // Checksums of everything read are verified, and a background error stops writes.
    options.set_paranoid_checks(true);
    // Values arrive encrypted: they don't get smaller.
    options.set_compression_type(DBCompressionType::None);
    // Flushes and compactions share two threads.
    options.set_max_background_jobs(2);
    // Dirty pages are written out as they come, so that a large flush doesn't hold up the
    // fsync of the log on the same disk.
    options.set_bytes_per_sync(MIB as u64);
    // Bounded file descriptors at any size.
    options.set_max_open_files(512);
    // A new manifest before an old one grows without bound.
    options.set_max_manifest_file_size(16 * MIB);
    // Open needs no statistics of every file.
    options.set_skip_stats_update_on_db_open(true);
    // No statistics dumps: metrics come from us.
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    // RocksDB's own log goes where ours goes, and no LOG files lie in the data folder.
    options.set_info_logger(InfoLogger::new_callback_logger(
        LogLevel::Warn,
        |level, message| match level {
            LogLevel::Error | LogLevel::Fatal => tracing::error!(target: "rocksdb", "{message}"),
            _ => tracing::warn!(target: "rocksdb", "{message}"),
        },
    ));
    options
}

fn table(cache: &Cache) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    // Indexes and filters count against the cache instead of growing beside it.
    table.set_cache_index_and_filter_blocks(true);
    // Format 5: fast filters; read by every RocksDB since 6.6.
    table.set_format_version(5);
    table
}
