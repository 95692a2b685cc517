/* placeholder until the room is built */ typedef int nt_core_empty;
