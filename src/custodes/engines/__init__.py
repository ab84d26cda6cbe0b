"""Query engines, one file each, behind the contract of `custodes.engine`; the only room that imports a database driver."""
