//! Options of the commands that walk through trees, here or on the server.

use std::path::PathBuf;

use clap::Args;

use crate::cli::failure::Failure;
use crate::client::WalkOptions;
use crate::types::{FileName, Filter};

#[derive(Debug, Clone, Default, Args)]
pub struct FilterArgs {
    /// Only what this glob means, and what is in it (*.jpg at any depth, /a/*.jpg at the top); repeatable
    #[arg(long, value_name = "GLOB", allow_hyphen_values = true)]
    pub include: Vec<String>,
    /// Not what this glob means, nor what is in it; beats --include; repeatable
    #[arg(long, value_name = "GLOB", allow_hyphen_values = true)]
    pub exclude: Vec<String>,
}

impl FilterArgs {
    /// The filter that they make up.
    pub fn filter(&self) -> Result<Filter, Failure> {
        Filter::parse(&self.include, &self.exclude)
            .map_err(|error| Failure::usage(error.to_string()))
    }
}

#[derive(Debug, Clone, Default, Args)]
pub struct WalkArgs {
    #[command(flatten)]
    pub filter: FilterArgs,
    /// Follow symbolic links, as far as they lead to something in the same tree
    #[arg(long)]
    pub follow: bool,
    /// Heed files of this name in the tree, which say what to ignore as .gitignore does
    #[arg(long, value_name = "NAME", value_parser = parse_leaf)]
    pub ignore_file: Option<String>,
}

impl WalkArgs {
    /// What a walk through a local tree takes.
    pub fn options(&self) -> Result<WalkOptions, Failure> {
        Ok(WalkOptions {
            follow: self.follow,
            filter: self.filter.filter()?,
            ignore_file: self.ignore_file.clone(),
        })
    }
}

#[derive(Debug, Clone, Default, Args)]
pub struct RetryArgs {
    /// Write a list of what failed to this file, for --retry-from
    #[arg(long, value_name = "FILE")]
    pub failed: Option<PathBuf>,
    /// Take what to do from such a list
    #[arg(long, value_name = "FILE")]
    pub retry_from: Option<PathBuf>,
}

fn parse_leaf(text: &str) -> Result<String, String> {
    match FileName::parse(text) {
        Ok(_) if !text.contains('/') => Ok(text.to_owned()),
        Ok(_) => Err("it is the name of a file in any folder, without a slash".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
