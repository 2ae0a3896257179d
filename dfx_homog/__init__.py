"""dfx_homog: thermal-electrochemical models of porous electrodes, resolved and homogenised, on DOLFINx."""
